"""Synapse multi-atlas abdomen (BTCV): contrast CT of 512 × 512 pixels, NIfTI, 30 with labels.

    DIR/…/Training/img/img0001.nii.gz … img0010, img0021 … img0040 · label/label0001.nii.gz …
    DIR/…/Testing/img/img0061.nii.gz … img0080.nii.gz

The paper uses it to compare registrations, and states no division. Training scans, which have
labels, are for training, testing scans for tests.
"""

from __future__ import annotations

import re
from pathlib import Path

from deepstd.datasets.selection import (
    TEST,
    TRAIN,
    Item,
    Selection,
    files_below,
    told,
    without_twins,
)

SOURCES = ("https://www.synapse.org/Synapse:syn3193805", "https://doi.org/10.7303/syn3193805")
EXPECTED = "Training/img/img0001.nii.gz"
_NAME = re.compile(r"img(\d{4})\.nii\.gz")
_LABEL = re.compile(r"label(\d{4})\.nii\.gz")
_TRAINING = {*range(1, 11), *range(21, 41)}
_TESTING = set(range(61, 81))


def select(folder: Path) -> Selection:
    """Select the 30 training scans and the 20 testing scans."""
    items, labels, odd = [], set(), []
    for path, name in files_below(folder):
        match = _NAME.fullmatch(path.name)
        if match is not None and int(match[1]) in _TRAINING | _TESTING:
            split = TRAIN if int(match[1]) in _TRAINING else TEST
            items.append(Item(path, str(name), match[1], split))
        elif label := _LABEL.fullmatch(path.name):
            labels.add(label[1])
        elif ".nii" in path.suffixes:
            odd.append(str(name))
    items, twins = without_twins(items)
    remarks = []
    if twins:
        remarks.append(
            told(len(twins), "scans of a number that is there twice are left out", twins)
        )
    if odd:
        remarks.append(told(len(odd), "NIfTI files of other names are left out", odd))
    for split, numbers in ((TRAIN, _TRAINING), (TEST, _TESTING)):
        there = {int(item.patient) for item in items if item.split == split}
        missing = [f"img{number:04d}" for number in sorted(numbers - there)]
        if missing:
            remarks.append(told(len(missing), f"{split} scans are missing", missing))
    bare = [i.name for i in items if i.split == TRAIN and i.patient not in labels]
    if bare:
        remarks.append(told(len(bare), "training scans have no labels", bare))
    return Selection(tuple(items), tuple(remarks))
