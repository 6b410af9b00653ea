"""Resampling of a scan to a voxel size, in its stored type.

Volume ─ smooth the axes that get coarser ─ linear interpolation ─▶ Volume with the new affine
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepstd.errors import GeometryError
from deepstd.extras import check_scipy
from deepstd.volume import Volume

_MOST_AXES = 3


def resampled(volume: Volume, spacing: Sequence[float]) -> Volume:
    """Resample a volume to a voxel size; its field of view stays, to half a voxel.

    Args:
        volume: three axes, with an affine.
        spacing: wanted voxel size in mm, ascending: the last is for the longest side of a voxel.

    Raises:
        GeometryError: the scan has no geometry, or not three axes.
        MissingExtraError: SciPy is not installed.
    """
    check_scipy("resampling", "train")
    from scipy import ndimage

    if volume.affine is None or volume.voxels.ndim != _MOST_AXES or volume.spacing is None:
        raise GeometryError("resampling needs a volume of three axes with a voxel size")
    axes = np.argsort(volume.spacing, kind="stable")
    wanted = np.empty(_MOST_AXES)
    wanted[axes] = sorted(spacing)
    factors = wanted / np.array(volume.spacing)  # old voxels in a new one
    shape = [max(1, round(n / f)) for n, f in zip(volume.shape, factors, strict=True)]
    values = volume.voxels.astype(np.float64)
    blur = np.maximum(factors - 1, 0) / 2
    values = ndimage.gaussian_filter(values, blur, mode="nearest")
    offset = (factors - 1) / 2  # the outer faces of the first voxels coincide
    found = np.asarray(values)
    for axis, (count, factor, first) in enumerate(zip(shape, factors, offset, strict=True)):
        # Linear interpolation is separable: one axis after another.
        found = _interpolated(found, factor * np.arange(count) + first, axis)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ offset
    affine[:3, :3] *= factors
    dtype = volume.voxels.dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        found = np.clip(np.rint(found), limits.min, limits.max)
    return Volume(found.astype(dtype), affine)


def _interpolated(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Interpolate linearly along an axis; beyond its ends the last value holds."""
    last = values.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = np.minimum(np.floor(places).astype(int), max(last - 1, 0))
    shape = [-1 if a == axis else 1 for a in range(values.ndim)]
    share = (places - low).reshape(shape)
    high = np.minimum(low + 1, last)
    return (1 - share) * np.take(values, low, axis) + share * np.take(values, high, axis)
