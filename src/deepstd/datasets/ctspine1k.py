"""CTSpine1K: spine CT of four sources, NIfTI, 1,005 volumes.

    DIR/…/volumes/COLONOG/1.3.6.1.4.1.9328.50.4.0001.nii.gz · HNSCC-3DCT-RT/HN_P001.nii.gz
        · MSD-T10/liver_0.nii.gz · COVID-19/volume-covid19-A-0011_ct.nii.gz
    DIR/…/labels/…/…_seg.nii.gz

The paper takes "the first 787" volumes and divides them into 630 and 157. It states no order; here
it is that of the names, which begins with the abdominal CT of COLONOG, as the paper's examples
#0001 and #0431 do. Names are those of ``data_split.txt`` in the authors' repository.
"""

from __future__ import annotations

import re
from pathlib import Path

from deepstd.datasets.selection import (
    Item,
    Selection,
    divided,
    files_below,
    told,
    without_twins,
)

SOURCES = ("https://github.com/MIRACLE-Center/CTSpine1K", "arXiv:2105.14711")
EXPECTED = "volumes such as 1.3.6.1.4.1.9328.50.4.0001.nii.gz or liver_0.nii.gz"
_NAME = re.compile(
    r"(?P<patient>1\.3\.6\.1\.4\.1\.9328\.50\.4\.\d{4}|HN_P\d{3}|liver_\d{1,3}"
    r"|volume-covid19-A-\d{4})(_ct)?\.nii(\.gz)?"
)
_LABELS = re.compile(r".*_seg\.nii(\.gz)?")
_ALL, _FIRST, _TRAIN, _TEST = 1005, 787, 630, 157
_SEED = "ctspine1k"


def select(folder: Path) -> Selection:
    """Select the first 787 volumes by name, 630 for training and 157 for tests."""
    items, odd = [], []
    for path, name in files_below(folder):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            items.append(Item(path, str(name), match["patient"]))
        elif ".nii" in path.suffixes and not _LABELS.fullmatch(path.name):
            odd.append(str(name))
    items, twins = without_twins(sorted(items, key=lambda item: item.path.name))
    remarks = []
    if twins:
        remarks.append(
            told(len(twins), "volumes of a name that is there twice are left out", twins)
        )
    if odd:
        remarks.append(told(len(odd), "NIfTI files of other names are left out", odd))
    if len(items) < _FIRST:
        remarks.append(f"{len(items)} of the {_FIRST} volumes are there; they are divided alike")
    elif len(items) != _ALL:
        remarks.append(f"{len(items)} of {_ALL} volumes are there: the first {_FIRST} may differ")
    return Selection(tuple(divided(items[:_FIRST], _TRAIN, _TEST, _SEED)), tuple(remarks))
