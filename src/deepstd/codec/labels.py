"""Recognition of label maps, whose voxels are numbers of regions and must not change.

declared by the file, whole numbers ┬▶ label map, coded exactly at any size
few whole numbers in patches ───────┘
"""

from __future__ import annotations

import numpy as np

from deepstd.volume import Volume

NOTE = (
    "a map of labels: every voxel is kept exactly, and the size that was asked for does not apply"
)
# Most values of a map that no file declares, and voxels of a first look at a scan.
_MOST_VALUES, _SAMPLE = 256, 1 << 16
# Share of neighbours inside regions that are equal. It is above 0.8 in maps of organs, and below
# 0.3 in 8-bit grey values.
_EQUAL_SHARE = 0.6


def are_declared(volume: Volume) -> bool:
    """Return True if a file declares labels, and all its voxels are whole numbers."""
    voxels = volume.voxels
    if not volume.labels or voxels.dtype.kind != "f":
        return volume.labels
    return all(bool(np.isfinite(row).all() and (row == np.rint(row)).all()) for row in voxels)


def look_like(voxels: np.ndarray) -> bool:
    """Return True if voxels are few whole numbers in patches, as in a map that nothing declares."""
    flat = voxels.ravel(order="K")
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    if voxels.dtype.kind == "f" or len(np.unique(sample)) > _MOST_VALUES:
        return False
    values, counts = np.unique(voxels, return_counts=True)
    if not 1 < len(values) <= _MOST_VALUES:
        return False
    background = values[counts.argmax()]
    # Neighbours along the axes, save both in the background, which grey values may have, too.
    equal = pairs = 0
    for axis in range(min(voxels.ndim, 3)):
        first = np.take(voxels, range(voxels.shape[axis] - 1), axis)
        second = np.take(voxels, range(1, voxels.shape[axis]), axis)
        inside = (first != background) & (second != background)
        pairs += np.count_nonzero(inside)
        equal += np.count_nonzero(inside & (first == second))
    return len(values) == 2 or bool(equal >= _EQUAL_SHARE * pairs)
