"""The planes of a volume, each on the scale that its frame has in the source.

    Volume ─ plane by plane ─▶ real-world values ─▶ nearest that the frame can store ─▶ Volume
    Volume for other formats: NaN of padding ─▶ the value that padding stands for, if only one

Voxels of a series whose frames all share one scale are stored values, and left alone.
"""

from __future__ import annotations

import numpy as np

from deepstd.io.dicom.header import facts_of
from deepstd.io.dicom.scales import to_voxels
from deepstd.volume import Volume


def planes_of(voxels: np.ndarray) -> list[np.ndarray]:
    """Views of the planes of voxels (a, b[, slice[, moment]]), at each slice moment by moment."""
    ends = voxels.shape[2:]
    return [voxels[(slice(None), slice(None), *end)] for end in np.ndindex(ends)]


def requantised(volume: Volume) -> Volume:
    """Move voxels, in place, to the nearest values that their frames can store in the source.

    So a restored scan holds the same values in every format, and its error is that of them all.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(volume.source.raw)
    for plane, scale in zip(planes_of(volume.voxels), facts.stored or [], strict=False):
        real = plane * np.float64(facts.slope) + facts.intercept
        plane[...] = to_voxels(scale.nearest(real), facts.slope, facts.intercept, plane.dtype)
    return volume


def with_padding_values(volume: Volume) -> Volume:
    """Return the volume with what padding stands for in place of NaN, if that is one value.

    Where padding stands for another real-world value in each frame, NaN stays.

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
