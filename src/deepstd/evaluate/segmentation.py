"""How alike two segmentations are, label by label.

    label maps, spacing ─ per label ─┬─ voxels in both ─────────────────────────▶ Dice
                                     └─ surfaces ─ distance transforms (mm) ────▶ HD95

Dice is 2 |A ∩ B| / (|A| + |B|). HD95 is the larger of the two directed 95th percentiles of the
distances from the surface voxels of one to those of the other, ``hd95[max,mm]``; a surface voxel
has a face (in 2-D an edge) on the outside. Pooling both directions before the percentile would give
smaller numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deepstd.errors import InputError

_PERCENTILE = 95.0


def labels_of(*maps: np.ndarray) -> list[int]:
    """Labels above 0 that occur in any of the maps, in ascending order."""
    found = np.unique(np.concatenate([np.unique(labels) for labels in maps]))
    return [int(label) for label in found if label > 0]


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice coefficient of two masks, 0 to 1; NaN where both are empty.

    Raises:
        InputError: the shapes differ.
    """
    one, other = _masks(one, other)
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else math.nan


def hd95(one: np.ndarray, other: np.ndarray, spacing: Sequence[float]) -> float:
    """95th percentile Hausdorff distance of two masks in the unit of the spacing.

    Args:
        one: mask of 2 or 3 axes.
        other: mask of the same shape.
        spacing: voxel size along each axis, in mm.

    Returns:
        the distance; NaN where both masks are empty, infinity where one is.

    Raises:
        InputError: the shapes differ, or the spacing has not one positive number for each axis.
    """
    one, other = _masks(one, other)
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
    from scipy import ndimage  # in functions, as a command that is refused does without SciPy

    distances = ndimage.distance_transform_edt(~other, sampling=spacing)
    return float(np.percentile(np.asarray(distances)[one], _PERCENTILE))


def _surface(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return mask & ~np.asarray(ndimage.binary_erosion(mask), bool)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    from scipy import ndimage

    return ndimage.find_objects(mask.astype(np.uint8))[0]


def _masks(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if one.shape != other.shape:
        raise InputError(
            f"cannot compare segmentations of shapes {one.shape} and {other.shape}: expected equal"
        )
    return one.astype(bool), other.astype(bool)
