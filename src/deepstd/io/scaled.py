"""Scans of formats that are read and not written, as NIfTI scans.

stored values, slope and intercept of each slice ─┬ all the same ─▶ stored values, scale in header
                                                  └ they differ ──▶ real-world values, floats
affine, distance of frames ─ fresh NIfTI header ─▶ Volume
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd.errors import GeometryError, InputError
from deepstd.io import nifti
from deepstd.volume import Volume

# Values of up to two bytes come back exactly from float32 values of 24 bits.
_MOST_FLOAT32_BYTES = 2
_FLOATS = "real-world values as {}, as slices differ in their rescale slope and intercept"


@dataclass(frozen=True)
class Scales:
    """Slopes and intercepts from stored to real-world values, arrays that fit the voxels' axes."""

    slopes: np.ndarray
    intercepts: np.ndarray

    @property
    def common(self) -> tuple[float, float] | None:
        """Slope and intercept of all slices; None where they differ, or the slope is 0."""
        slope, intercept = float(self.slopes.flat[0]), float(self.intercepts.flat[0])
        same = np.all(self.slopes == slope) and np.all(self.intercepts == intercept)
        return (slope, intercept) if same and slope != 0 else None


NO_SCALES = Scales(np.ones(1), np.zeros(1))


def type_of(stored: np.dtype, scales: Scales) -> np.dtype:
    """Return the type of the voxels of a scan of a stored type, in native byte order."""
    if scales.common is not None:
        return stored.newbyteorder("=")
    return np.dtype("f4" if stored.itemsize <= _MOST_FLOAT32_BYTES else "f8")


def volume_of(
    stored: np.ndarray,
    affine: np.ndarray,
    scales: Scales = NO_SCALES,
    frames: tuple[float, float] = (1.0, 0.0),
    notes: tuple[str, ...] = (),
) -> Volume:
    """Return a scan with a fresh NIfTI header.

    Args:
        stored: stored values, shape (i, j, k[, frame]).
        affine: voxel to RAS+ mm, (4, 4).
        scales: slopes and intercepts of the slices.
        frames: distance between frames and position of the first, in seconds.
        notes: sentences on the scan.

    Raises:
        GeometryError: the affine is not finite or singular.
        InputError: a scale is not finite.
    """
    affine = checked_affine(affine)
    if not (np.isfinite(scales.slopes).all() and np.isfinite(scales.intercepts).all()):
        raise InputError("a slope or intercept of its slices is not finite. It is damaged")
    dtype, common = type_of(stored.dtype, scales), scales.common
    if common is None:
        # Frame by frame, as float64 values of a whole scan may not fit in memory.
        voxels = np.empty(stored.shape, dtype, order="F")
        slopes = np.broadcast_to(scales.slopes, stored.shape)
        intercepts = np.broadcast_to(scales.intercepts, stored.shape)
        for number in range(stored.shape[-1]):
            part = stored[..., number].astype(np.float64)
            voxels[..., number] = part * slopes[..., number] + intercepts[..., number]
        notes += (_FLOATS.format(dtype.name),)
    else:
        voxels = stored.astype(dtype, copy=False)
    frames = frames if voxels.ndim == 4 else (1.0, 0.0)
    scan = Volume(
        voxels,
        affine,
        notes=notes,
        source_nbytes=stored.nbytes if common is None else None,
    )
    return nifti.with_fresh_header(scan, frames, common or (1.0, 0.0))


def checked_affine(affine: np.ndarray) -> np.ndarray:
    """Return an affine as float64.

    Raises:
        GeometryError: it is not finite or singular.
    """
    affine = np.array(affine, dtype=np.float64)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise GeometryError("the header's affine is not finite or singular. Repair the header")
    return affine
