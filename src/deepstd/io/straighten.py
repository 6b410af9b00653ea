"""Resampling of sheared scans to a grid of right angles, for programs that know no other.

    affine, positions ─ in-plane offset of each slice, in voxels ─▶ grid that holds all slices
    slices ─ shifted by linear interpolation ─▶ voxels on that grid, filled with the darkest value

Slices keep their positions along the normal, so uneven distances stay uneven.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd.errors import GeometryError
from deepstd.io import dicom, itk_geometry, nifti, nifti_grid
from deepstd.io.headers import affine_of
from deepstd.io.rescale import error_scale_of, scale_of
from deepstd.io.shear import SHEARED, is_sheared, largest_cosine
from deepstd.volume import SourceHeader, Volume

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
# Cosine up to which axes of a slice count as perpendicular: scanner axes are, but for rounding.
_RECTANGULAR_WITHIN = 1e-3
_WHOLE_WITHIN = 1e-4  # voxels; smaller shifts are rounding errors


@dataclass(frozen=True)
class _Grid:
    """Grid of right angles.

    Attributes:
        affine: voxel-to-world matrix, 4x4, RAS+ mm.
        axis: axis along which slices are stacked.
        shape: shape of a slice.
        offsets: voxels from the grid's origin to each slice's, (slices, 2).
        farthest: largest in-plane shift in mm.
    """

    affine: np.ndarray
    axis: int
    shape: tuple[int, int]
    offsets: np.ndarray
    farthest: float


def straightened(volume: Volume) -> Volume:
    """Return a scan with axes at right angles; return a scan that has them unchanged.

    Slices are shifted within their planes, and grow by the largest shift. The new header states the
    grid and the grey scale, and nothing of single slices.

    Raises:
        GeometryError: no two axes of the scan are at right angles.
        InputError: the header is damaged.
    """
    if volume.affine is None or not is_sheared(volume.affine, volume.voxels.ndim):
        return volume
    grid = _grid_of(volume, volume.affine)
    fill = _darkest(volume.voxels)
    voxels = _resampled(volume.voxels, grid, fill)
    source = _header_of(volume, voxels.shape, grid.affine)
    slope, intercept = scale_of(volume.source)
    unit = error_scale_of(volume.source).unit
    told = (
        f"straightened: slices are shifted within their planes by up to {grid.farthest:.4g} mm, by "
        f"linear interpolation, with {slope * fill + intercept:.6g}{f' {unit}' if unit else ''} "
        "around them"
    )
    notes = (*(note for note in volume.notes if note != SHEARED), told)
    return Volume(voxels, affine_of(source), source, notes)


def _grid_of(volume: Volume, affine: np.ndarray) -> _Grid:
    axis = _slice_axis(affine)
    plane = [other for other in range(3) if other != axis]
    columns, step = affine[:3, plane], affine[:3, axis]
    sizes = np.linalg.norm(columns, axis=0)
    across = columns / sizes
    # The second of two nearly perpendicular axes is corrected.
    across[:, 1] -= across[:, 0] * (across[:, 0] @ across[:, 1])
    across[:, 1] /= np.linalg.norm(across[:, 1])
    normal = np.cross(across[:, 0], across[:, 1])
    height = float(step @ normal)
    count = volume.shape[axis]
    places = _places(volume.source, count, axis)
    if places is None:
        places = np.arange(count)[:, None] * step
    shifts = (places - places[0]) @ across / sizes
    low = np.floor(shifts.min(axis=0) + _WHOLE_WITHIN).astype(int)
    high = np.ceil(shifts.max(axis=0) - _WHOLE_WITHIN).astype(int)
    straight = np.eye(4)
    straight[:3, plane] = across * sizes
    straight[:3, axis] = height * normal
    straight[:3, 3] = affine[:3, 3] + straight[:3, plane] @ low
    lengths = [volume.shape[other] for other in plane]
    shape = (lengths[0] + int(high[0] - low[0]), lengths[1] + int(high[1] - low[1]))
    farthest = float(np.linalg.norm(shifts * sizes, axis=1).max())
    return _Grid(straight, axis, shape, low - shifts, farthest)


def _slice_axis(affine: np.ndarray) -> int:
    """Return the axis along which rectangular slices are stacked, the third one if possible."""
    for axis in (2, 1, 0):
        plane = tuple(other for other in range(3) if other != axis)
        if largest_cosine(affine, plane) < _RECTANGULAR_WITHIN:
            return axis
    raise GeometryError(
        "no two axes of the scan are at right angles, so its slices cannot be shifted into place. "
        "Restore it to .nrrd, which keeps its axes"
    )


def _places(source: SourceHeader, count: int, axis: int) -> np.ndarray | None:
    """Return positions of the slices, (slices, 3) RAS mm; None where the affine states them
    exactly.
    """
    if source.format != dicom.NAME or axis != 2:
        return None
    positions = dicom.facts_of(source.raw).positions
    if positions is None or len(positions) != count:
        return None
    return np.asarray(positions, dtype=np.float64) * _LPS_TO_RAS


def _resampled(voxels: np.ndarray, grid: _Grid, fill: float) -> np.ndarray:
    shape = list(voxels.shape)
    for other, length in zip((n for n in range(3) if n != grid.axis), grid.shape, strict=True):
        shape[other] = length
    straight = np.empty(shape, voxels.dtype, order="F")
    slices = np.moveaxis(voxels, grid.axis, 2)
    target = np.moveaxis(straight, grid.axis, 2)
    for place in np.ndindex(slices.shape[2:]):
        target[(..., *place)] = _shifted(slices[(..., *place)], grid, place[0], fill)
    return straight


def _shifted(plane: np.ndarray, grid: _Grid, number: int, fill: float) -> np.ndarray:
    """Return a slice on the grid, in its own type."""
    offset = grid.offsets[number]
    whole = np.rint(offset).astype(int)
    if np.abs(offset - whole).max() < _WHOLE_WITHIN:
        # NaN would spread by a weight of zero, so whole shifts copy the slice.
        moved = np.full(grid.shape, fill, plane.dtype)
        i, j = -whole
        moved[i : i + plane.shape[0], j : j + plane.shape[1]] = plane
        return moved
    moved = _interpolated(plane.astype(np.float64), offset, grid.shape, fill)
    if plane.dtype.kind == "b":
        return moved >= 0.5
    return np.rint(moved) if plane.dtype.kind in "iu" else moved


def _interpolated(
    plane: np.ndarray, offset: np.ndarray, shape: tuple[int, ...], fill: float
) -> np.ndarray:
    """Interpolate a slice linearly at the points of a grid plus an offset; fill what is outside."""
    moved, inside = plane, np.ones(shape, bool)
    for axis, length in enumerate(plane.shape):
        places = np.arange(shape[axis]) + offset[axis]
        first = np.clip(np.floor(places).astype(int), 0, max(length - 2, 0))
        second = np.minimum(first + 1, length - 1)
        share = np.expand_dims(places - first, 1 - axis)
        low, high = np.take(moved, first, axis), np.take(moved, second, axis)
        moved = low * (1 - share) + high * share
        inside &= np.expand_dims((places >= 0) & (places <= length - 1), 1 - axis)
    return np.where(inside, moved, fill)


def _darkest(voxels: np.ndarray) -> float:
    """Return the smallest finite value of a scan; 0 where there is none."""
    finite = voxels[np.isfinite(voxels)] if voxels.dtype.kind == "f" else voxels
    return float(finite.min()) if finite.size else 0.0


def _header_of(volume: Volume, shape: tuple[int, ...], affine: np.ndarray) -> SourceHeader:
    """Return the scan's header for another grid."""
    source = volume.source
    if source.format in nifti.NAMES:
        return nifti_grid.on_grid(source, shape, affine)
    if source.format in itk_geometry.NAMES:
        return itk_geometry.on_grid(source, len(shape), affine)
    return dicom.on_grid(source, affine)
