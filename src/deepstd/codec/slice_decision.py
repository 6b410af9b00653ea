"""Decision between coding a scan as a volume and coding it slice by slice.

middle slices ─ as a volume: step for the target size ─ each way with that step ─▶ least cost
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.rate.start import Start, slope_of
from deepstd.rate.tradeoff import rd_cost
from deepstd.texture.codec import Divisible, Encoder, squared_error
from deepstd.texture.scaling import STEP_CODE_MIN, STEPS_PER_OCTAVE
from deepstd.texture.slices.decoder import SliceNetworks, can_be_sliced
from deepstd.texture.slices.encoder import SlicedEncoder
from deepstd.texture.wavelet.anisotropy import neighbour_differences

# In half octaves: slices at least 2.8 times as thick as their pixels may be better coded as images.
_THICK = 3
# Least thickness in half octaves, and log2 of the key interval: shorter for thicker slices.
_OCTAVES = ((5, 1), (3, 2), (0, 3))
_TRIAL_VOXELS = 1 << 19
_FEWEST_SLICES = 8
# Least difference of neighbours along the axis of slices, relative to the axis of the largest one.
# Along smoother axes slices lost 0.05 to 0.86 octaves of squared error on 8 CT and MR volumes.
_ROUGH = 0.5
# Octaves of squared error: slices must gain a tenth of a dB, because they take twice as long.
_LEAD = 0.03
# Octaves around _LEAD within which a trial on 4 times the voxels decides. In the middle of a torso
# slices gained nothing, in the whole torso 0.7 dB.
_DOUBT, _MORE = 0.1, 4
# Octaves of size around the target within which gains are measured, since they change with the
# step; and most steps that are tried to get there.
_FAR, _STEPS = 0.15, 3


@dataclass(frozen=True)
class Way:
    """A way to code a scan slice by slice.

    Attributes:
        axis: axis along which the slices follow each other.
        octaves: log2 of the key interval; 0 makes every slice intra.
    """

    axis: int
    octaves: int


@dataclass(frozen=True)
class Trial:
    """Result of a trial.

    Attributes:
        way: best way to code the slices, or None where a volume is better.
        start: first step for the search on the whole scan.
    """

    way: Way | None
    start: Start


def ways(coarse: Sequence[int], shape: Sequence[int], networks: SliceNetworks) -> list[Way]:
    """Return the ways to code a scan slice by slice: along its thick axis, else along any axis.

    Args:
        coarse: relative voxel sizes in half octaves.
        shape: voxels along each axis.
        networks: networks for slices.
    """
    if len(shape) != 3:
        return []
    thick = int(np.argmax(coarse))
    thickness = coarse[thick] - max(size for a, size in enumerate(coarse) if a != thick)
    axes = [thick] if thickness >= _THICK else [2, 1, 0]
    axes = [axis for axis in axes if can_be_sliced(shape, coarse, axis)]
    found = [Way(axis, 0) for axis in axes if thickness >= _THICK]
    if networks.predicted is not None:
        octaves = next(n for least, n in _OCTAVES if thickness >= least)
        found += [Way(axis, octaves) for axis in axes if shape[axis] > 2]
    return found


def try_slices(
    whole: Divisible,
    networks: SliceNetworks,
    tried: Sequence[Way],
    bytes_per_voxel: float,
    start: Start,
    rate_weight: float,
) -> Trial:
    """Compare the ways on the middle slices of a scan, and on more slices where they are close.

    Args:
        whole: encoder of the scan as a volume.
        networks: networks for slices.
        tried: ways to compare, at least one.
        bytes_per_voxel: bytes per voxel of the target file.
        start: first step of the search.
        rate_weight: λ of the quantiser.
    """
    tried = _without_smooth_axes(tried, whole.values)
    fewest = max(_FEWEST_SLICES, *(2**way.octaves + 1 for way in tried))

    def part_along(axis: int, voxels: int = _TRIAL_VOXELS) -> Divisible:
        return whole.middle_slices(voxels, axis=axis, fewest=fewest)

    first = part_along(tried[0].axis)

    def cost(encoder: Encoder, code: int) -> tuple[float, int]:
        code = min(code, encoder.finest)
        encoded = encoder.encode(code, rate_weight)
        return rd_cost(squared_error(encoder, encoded, code), encoded.nbytes), encoded.nbytes

    goal = max(1, math.floor(bytes_per_voxel * math.prod(first.shape)))
    measured: list[tuple[int, float]] = []
    following, code, as_volume = start, start.step_code, math.inf
    for _ in range(_STEPS):
        code = min(max(following.step_code, STEP_CODE_MIN), whole.finest)
        as_volume, nbytes = cost(first, code)
        measured.append((code, math.log2(nbytes)))
        slope = slope_of(measured, STEPS_PER_OCTAVE, following.slope)
        missing = math.log2(goal / nbytes)
        following = Start(code + round(missing * STEPS_PER_OCTAVE / slope), slope)
        if abs(missing) <= _FAR:
            break

    def gain(way: Way, part: Divisible, as_volume: float) -> float:
        sliced = SlicedEncoder.of(part, networks, way.axis, way.octaves)
        return as_volume - cost(sliced, code)[0]

    gains: dict[Way, float] = {}
    part = first
    for axis in dict.fromkeys(way.axis for way in tried):
        # A small scan is its own part along every axis.
        if axis != tried[0].axis and first.shape != whole.shape:
            part = part_along(axis)
            as_volume, _ = cost(part, code)
        gains |= {way: gain(way, part, as_volume) for way in tried if way.axis == axis}
    best, lead = max(gains.items(), key=lambda entry: entry[1])
    if abs(lead - _LEAD) < _DOUBT and part.shape != whole.shape:
        part = part_along(best.axis, _MORE * _TRIAL_VOXELS)
        lead = gain(best, part, cost(part, code)[0])
    return Trial(best if lead > _LEAD else None, following)


def _without_smooth_axes(tried: Sequence[Way], values: np.ndarray) -> list[Way]:
    """Return the ways along axes whose neighbours differ much; a volume suits smooth axes."""
    if len({way.axis for way in tried}) == 1:
        return list(tried)
    differences = neighbour_differences(values)
    least = _ROUGH * max(differences[way.axis] for way in tried)
    return [way for way in tried if differences[way.axis] >= least]
