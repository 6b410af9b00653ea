"""Limits of the files that a scan can be restored to, noted when the scan is read.

Volume, name of its file ─ limits ─▶ Volume with notes, labels declared
"""

from __future__ import annotations

import re
from dataclasses import replace

from deepstd.io import dicom
from deepstd.io.shear import SHEARED, is_refused_as_nifti
from deepstd.volume import Volume

# Names of label maps in FreeSurfer, BIDS and nnU-Net, at the end of a file name or of a part of it,
# such as the name of an array.
_LABELS = re.compile(
    r"(^|[._+:/-])(d?seg|aseg|wmparc|aparc|segmentation|labels?|labelmap|parcellation)([._+]|$)"
)
_OTHER_TYPES = {"bool": "uint8", "float16": "float32"}


def names_labels(name: str) -> bool:
    """Return True if the name of a file or folder is that of a label map."""
    return bool(_LABELS.search(name.lower()))


def with_limits(volume: Volume, name: str) -> Volume:
    """Return the scan with notes on formats that cannot hold it, and labels by its name.

    Args:
        volume: the scan as read.
        name: name of its file or folder.

    Raises:
        InputError: the header is damaged.
    """
    notes = [note for note in _limits(volume) if note not in volume.notes]
    labels = volume.labels or names_labels(name)
    return replace(volume, notes=(*volume.notes, *notes), labels=labels)


def _limits(volume: Volume) -> list[str]:
    notes: list[str] = []
    dtype = volume.voxels.dtype
    if is_refused_as_nifti(volume):
        notes.append(SHEARED)
    if dtype.name in _OTHER_TYPES:
        other = _OTHER_TYPES[dtype.name]
        notes.append(f"NIfTI, NRRD and MetaImage have no {dtype.name}: there it becomes {other}")
    if volume.source.format == dicom.NAME:
        facts = dicom.facts_of(volume.source.raw)
        if facts.is_written_from_data_sets and facts.sets == 0:
            notes.append(
                "without its data set (--drop-metadata) an object of several frames, a dose or a "
                "segmentation cannot be restored as DICOM"
            )
    return notes
