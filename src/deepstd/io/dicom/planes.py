"""Planes of a volume, each on the scale of its frame in the source.

    Volume ─ plane by plane ─▶ real-world values ─▶ nearest storable by the frame ─▶ Volume
    Volume of frames on different scales ─▶ stored values ─▶ Volume
    Volume for other formats: NaN of padding ─▶ the value that padding means, if only one

Where all frames share one scale, voxels are stored values and stay unchanged.
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.header import Facts, facts_of
from deepstd.io.dicom.scales import FrameScale, to_voxels
from deepstd.volume import SourceHeader, Volume


def planes_of(voxels: np.ndarray) -> list[np.ndarray]:
    """Return views of the planes of voxels (a, b[, slice[, time point]]), the last axis fastest."""
    ends = voxels.shape[2:]
    return [voxels[(slice(None), slice(None), *end)] for end in np.ndindex(ends)]


def requantised(volume: Volume) -> Volume:
    """Move voxels, in place, to the nearest values that their frames can store in the source.

    A restored scan then holds the same values, and has the same error, in every format.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(volume.source.raw)
    dtype, ends = volume.voxels.dtype, (-math.inf, math.inf)
    if dtype.kind in "iu":
        # A frame may store values just outside the type of the voxels, which would be clipped.
        limits = np.iinfo(dtype)
        low, high = (end * facts.slope + facts.intercept for end in (limits.min, limits.max))
        ends = min(low, high), max(low, high)
    for plane, scale in zip(planes_of(volume.voxels), facts.stored or [], strict=False):
        real = plane * np.float64(facts.slope) + facts.intercept
        nearest = scale.nearest(real, ends)
        plane[...] = to_voxels(nearest, facts.slope, facts.intercept, dtype)
    return volume


def stored_type(source: SourceHeader) -> np.dtype | None:
    """Return the type in which the files store frames on different scales.

    None is returned where frames share one scale, or have several types.

    Raises:
        InputError: the header is damaged.
    """
    types = {scale.type for scale in facts_of(source.raw).stored or []}
    return np.dtype(types.pop()) if len(types) == 1 else None


def stored_values(volume: Volume) -> np.ndarray | None:
    """Return the values that the files of a scan store, where frames are on different scales.

    Returns:
        an array of the scan's shape and `stored_type`; None where there is no such type, or the
        voxels do not come back from it bit for bit.

    Raises:
        InputError: the header is damaged.
    """
    dtype = stored_type(volume.source)
    if dtype is None:
        return None
    facts = facts_of(volume.source.raw)
    values = np.empty(volume.shape, dtype, order="F")
    both = zip(planes_of(values), planes_of(volume.voxels), facts.stored or [], strict=True)
    for target, plane, scale in both:
        try:
            target[...] = scale.stored(plane * np.float64(facts.slope) + facts.intercept)
        except InputError:  # NaN that is no padding: these voxels were changed
            return None
        again = _voxels_of(target, scale, facts, plane.dtype)
        if again.tobytes() != plane.tobytes():
            return None
    return values


def voxels_of(values: np.ndarray, source: SourceHeader, dtype: np.dtype) -> np.ndarray:
    """Return the voxels of stored values, the inverse of `stored_values`.

    Args:
        values: array of the scan's shape and `stored_type`.
        source: header of the scan.
        dtype: type of its voxels.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(source.raw)
    voxels = np.empty(values.shape, dtype, order="F")
    both = zip(planes_of(voxels), planes_of(values), facts.stored or [], strict=True)
    for target, plane, scale in both:
        target[...] = _voxels_of(plane, scale, facts, dtype)
    return voxels


def _voxels_of(stored: np.ndarray, scale: FrameScale, facts: Facts, dtype: np.dtype) -> np.ndarray:
    return to_voxels(scale.real(stored), facts.slope, facts.intercept, dtype)


def with_padding_values(volume: Volume) -> Volume:
    """Return the volume with the padding value in place of NaN, if padding means one value.

    Where padding means several real-world values, NaN stays.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(volume.source.raw)
    values = {
        s.slope * s.padding + s.intercept for s in facts.stored or [] if s.padding is not None
    }
    if len(values) != 1:
        return volume
    voxels = volume.voxels
    value = voxels.dtype.type(*values)
    return volume.replace_voxels(np.where(np.isnan(voxels), value, voxels))


def largest_step(volume: Volume) -> float:
    """Return the largest distance between neighbouring voxel values that frames can store.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(volume.source.raw)
    if facts.stored is None:
        return 1.0
    return max(abs(scale.slope / facts.slope) for scale in facts.stored)
