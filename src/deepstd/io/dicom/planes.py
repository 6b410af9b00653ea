"""Planes of a volume, each on the scale of its frame in the source.

    Volume ─ plane by plane ─▶ real-world values ─▶ nearest storable by the frame ─▶ Volume
    Volume for other formats: NaN of padding ─▶ the value that padding means, if only one

Where all frames share one scale, voxels are stored values and stay unchanged.
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.io.dicom.header import facts_of
from deepstd.io.dicom.scales import to_voxels
from deepstd.volume import Volume


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
