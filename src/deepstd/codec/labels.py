"""Recognition of label maps, whose voxels are numbers of regions and must not change.

declared by the file, whole numbers ┬▶ label map, coded exactly at any size
few whole numbers in patches ───────┘
"""

from __future__ import annotations

import numpy as np

from deepstd.lossless.masks import in_patches
from deepstd.volume import Volume

NOTE = (
    "a map of labels: every voxel is kept exactly, and the size that was asked for does not apply"
)


def are_in(volume: Volume) -> bool:
    """Return True if a scan is a label map that comes back exactly at any size."""
    return not volume.loss and (are_declared(volume) or look_like(volume.voxels))


def are_declared(volume: Volume) -> bool:
    """Return True if a file declares labels, and all its voxels are whole numbers."""
    voxels = volume.voxels
    if not volume.labels or voxels.dtype.kind != "f":
        return volume.labels
    return all(bool(np.isfinite(row).all() and (row == np.rint(row)).all()) for row in voxels)


def look_like(voxels: np.ndarray) -> bool:
    """Return True if voxels are few whole numbers in patches, as in a map that nothing declares."""
    return voxels.dtype.kind != "f" and in_patches(voxels)
