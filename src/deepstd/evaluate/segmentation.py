"""Surface distance of two segmentations.

    masks, spacing ─ surfaces ─ distance transforms (mm) ─▶ HD95

HD95 (``hd95[max,mm]``) is the larger of the two directed 95th percentiles of the distances from the
surface voxels of one mask to the surface voxels of the other mask. A surface voxel has a face (in
2-D an edge) on the outside. Pooling both directions before the percentile would give smaller
distances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deepstd.errors import InputError
from deepstd.overlap import masks

_PERCENTILE = 95.0


def hd95(one: np.ndarray, other: np.ndarray, spacing: Sequence[float]) -> float:
    """Return the 95th percentile Hausdorff distance of two masks, in the unit of the spacing.

    Args:
        one: mask of 2 or 3 axes.
        other: mask of the same shape.
        spacing: voxel size along each axis, in mm.

    Returns:
        The distance; NaN where both masks are empty, infinity where one is.

    Raises:
        InputError: the shapes differ, or the spacing has not one positive number for each axis.
    """
    one, other = masks(one, other)
    if len(spacing) != one.ndim or not all(s > 0 and math.isfinite(s) for s in spacing):
        raise InputError(
            f"HD95 needs a voxel size for each of {one.ndim} axes, got {tuple(spacing)}"
        )
    if not one.any() and not other.any():
        return math.nan
    if not one.any() or not other.any():
        return math.inf
    box = _bounding_box(one | other)
    surfaces = [_surface(mask[box]) for mask in (one, other)]
    return max(_directed(a, b, spacing) for a, b in (surfaces, surfaces[::-1]))


def _directed(one: np.ndarray, other: np.ndarray, spacing: Sequence[float]) -> float:
    from scipy import ndimage  # slow to import: a command that is refused does without it

    distances = ndimage.distance_transform_edt(~other, sampling=spacing)
    return float(np.percentile(np.asarray(distances)[one], _PERCENTILE))


def _surface(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return mask & ~np.asarray(ndimage.binary_erosion(mask), bool)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    from scipy import ndimage

    return ndimage.find_objects(mask.astype(np.uint8))[0]
