"""What a scan cannot be once it is restored, said when it is read.

Volume, name of its file ─ limits ─▶ the same with notes
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from deepstd.io import dicom, nifti
from deepstd.io.nifti_header import NAMES as NIFTI_NAMES
from deepstd.io.nifti_header import header_of
from deepstd.volume import Volume

# How FreeSurfer, BIDS and nnU-Net call maps of labels, at the end of a name or of a part of it.
_LABELS = re.compile(
    r"(^|[._+-])(d?seg|aseg|wmparc|aparc|segmentation|labels?|labelmap|parcellation)([._+-]|$)"
)
# SimpleITK opens NIfTI files whose axes are at right angles to within this.
_LARGEST_SKEW = 1e-4
_OTHER_TYPES = {"bool": "uint8", "float16": "float32"}


def with_limits(volume: Volume, name: str) -> Volume:
    """Return a scan with notes on formats that cannot hold it, and on maps of labels.

    Args:
        volume: as it was read.
        name: of its file or folder.

    Raises:
        InputError: its header is damaged.
    """
    notes = [note for note in _limits(volume, name) if note not in volume.notes]
    return replace(volume, notes=(*volume.notes, *notes)) if notes else volume


def _limits(volume: Volume, name: str) -> list[str]:
    notes: list[str] = []
    dtype = volume.voxels.dtype
    if dtype.kind in "iu" and _LABELS.search(name.lower()):
        notes.append(nifti.LABELS_NOTE)
    if _is_sheared(volume):
        notes.append(
            "its axes are not at right angles: restored as NIfTI, SimpleITK, ANTs and nnU-Net "
            "cannot open it. Restore it as .nrrd or .mha"
        )
    if dtype.name in _OTHER_TYPES:
        other = _OTHER_TYPES[dtype.name]
        notes.append(f"NIfTI, NRRD and MetaImage have no {dtype.name}: there it becomes {other}")
    if volume.source.format == dicom.NAME:
        facts = dicom.facts_of(volume.source.raw)
        if facts.order is not None and facts.sets == 0:
            notes.append(
                "without its data set (--drop-metadata) an object of several frames cannot be "
                "restored as DICOM"
            )
    return notes


def _is_sheared(volume: Volume) -> bool:
    """Whether NIfTI that is restored from a scan has axes that SimpleITK refuses."""
    if volume.affine is None or volume.voxels.ndim < 3:
        return False
    source = volume.source
    if source.format in NIFTI_NAMES and int(header_of(source.raw, source.format)["qform_code"]) > 0:
        return False  # SimpleITK then goes by the qform
    columns = volume.affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not (lengths > 0).all():
        return True
    units = columns / lengths
    return bool(np.abs(units.T @ units - np.eye(3)).max() > _LARGEST_SKEW)
