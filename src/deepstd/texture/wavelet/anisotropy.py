"""Which axes of a scan are coarser than others, from its header and from its grey values.

header ─ relative voxel sizes ─────────────────────────────┐
values ─ differences of neighbours ─ relative correlation ─┴─ trial decompositions ─▶ sizes

Many files have lost their spacing, and to split thick slices like voxels within a slice takes up to
half as many bytes more. The header is believed until a trial shows that it costs clearly more than
what the grey values say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from deepstd.texture.wavelet.lifting import coarseness, decompose, split_plan

_SAMPLES = 2**21
_LONGEST_LAG = 64
# The trial quantises to a 32nd of the range between these.
_QUANTILES = (0.001, 0.999)
_STEPS = 32
# The trial knows nothing of a context model, and is wrong by up to 4 % of the bits where sizes are
# nearly alike; where the header is wrong, they fall by a fifth.
_HEADER_WORTH = 0.92


def relative_sizes(values: np.ndarray, spacing: Sequence[float] | None) -> tuple[int, ...]:
    """Relative voxel sizes to plan a decomposition by, as `coarseness` gives them.

    Args:
        values: finite grey values, (*shape).
        spacing: voxel size along each axis as the header has it, or None.
    """
    told = coarseness(spacing, values.ndim)
    sample = _centre(values)
    seen = correlation_sizes(sample)
    low, high = np.quantile(sample, _QUANTILES)
    if split_plan(values.shape, seen) == split_plan(values.shape, told) or not high > low:
        return told
    step = (float(high) - float(low)) / _STEPS
    return seen if _bits(sample, seen, step) < _HEADER_WORTH * _bits(sample, told, step) else told


def correlation_sizes(values: np.ndarray) -> tuple[int, ...]:
    """Voxel sizes relative to the finest in half octaves, 0 … 15, as the grey values suggest.

    The size of an axis is the lag along the smoothest axis at which voxels differ as much as
    neighbours along this one.
    """
    nearest = [_difference(values, axis, 1) for axis in range(values.ndim)]
    known = [n for n in nearest if n is not None]
    if not known or min(known) <= 0:
        return (0,) * values.ndim
    smoothest = nearest.index(min(known))
    lags, differences = [1], [min(known)]
    while (lag := math.ceil(lags[-1] * math.sqrt(2.0))) <= _LONGEST_LAG:
        difference = _difference(values, smoothest, lag)
        if difference is None:
            break
        lags.append(lag)
        differences.append(max(difference, differences[-1]))
    octaves = [
        0.0 if n is None else float(np.interp(math.log2(n), np.log2(differences), np.log2(lags)))
        for n in nearest
    ]
    return tuple(min(15, round(2.0 * octave)) for octave in octaves)


def _difference(values: np.ndarray, axis: int, lag: int) -> float | None:
    """Mean squared difference of voxels so far apart; None where few are."""
    if 2 * lag > values.shape[axis]:
        return None
    along = np.moveaxis(values, axis, 0)
    return float(np.mean(np.square(along[lag:] - along[:-lag]), dtype=np.float64))


def _bits(values: np.ndarray, sizes: tuple[int, ...], step: float) -> float:
    """Bits of a decomposition's coefficients, roughly: enough to rank decompositions by."""
    plan = split_plan(values.shape, sizes)
    _, highs = decompose(torch.from_numpy(values)[None, None], plan)
    return sum(float(torch.log2(1.0 + (high / step).abs()).sum()) for high in highs)


def _centre(values: np.ndarray) -> np.ndarray:
    """The middle of a scan, float32, mean 0 and within -1 and 1."""
    longest = round(_SAMPLES ** (1.0 / values.ndim))
    starts = [max(0, (n - longest) // 2) for n in values.shape]
    sample = values[tuple(slice(s, s + longest) for s in starts)].astype(np.float64)
    # Twice, because a small contrast may stand on a large mean, and a mean must not overflow.
    sample = _scaled(sample)
    return _scaled(sample - sample.mean()).astype(np.float32)


def _scaled(values: np.ndarray) -> np.ndarray:
    """To at most 1 in size."""
    largest = float(np.abs(values).max())
    return values / largest if largest > 0 else values
