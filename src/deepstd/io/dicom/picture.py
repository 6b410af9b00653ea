"""Conversion of a volume from DICOM to the axes and grey scale of images.

voxels (column, row, slice) ─▶ (row, column[, slice]) ─ MONOCHROME1 ─▶ black is zero
"""

from __future__ import annotations

import numpy as np

from deepstd.io.dicom.header import facts_of
from deepstd.volume import Volume


def picture(volume: Volume) -> Volume:
    """Return the scan in the axes of PNG and TIFF, black as zero; one slice gives two axes.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(volume.source.raw)
    voxels = volume.voxels
    if volume.affine is not None:
        voxels = voxels.swapaxes(0, 1)
        voxels = voxels[..., 0] if voxels.shape[2:] == (1,) else voxels
    if facts.photometric == "MONOCHROME1" and voxels.dtype.kind == "u":
        white = max((1 << facts.bits) - 1, int(voxels.max()))
        voxels = (white - voxels.astype(np.int64)).astype(voxels.dtype)
    return Volume(voxels)
