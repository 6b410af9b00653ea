"""Relative voxel sizes of a scan, from its header and from its grey values.

header ─ relative voxel sizes ─────────────────────────────┐
values ─ differences of neighbours ─ relative correlation ─┴─ trial decompositions ─▶ sizes

Many files have lost their spacing. A plan that splits thick slices like isotropic voxels takes up
to half as many bytes more. The header is used unless a trial shows that sizes estimated from the
grey values take clearly fewer bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deepstd.texture.wavelet.lifting import coarseness, decompose, split_plan

# Voxels of the centre that the estimate uses, and the longest lag in voxels.
_SAMPLES = 2**21
_LONGEST_LAG = 64
# The trial quantises to 1/32 of the range between these quantiles.
_QUANTILES = (0.001, 0.999)
_STEPS = 32
# The trial has no context model and errs by up to 4 % of the bits where sizes are similar. A wrong
# header costs about a fifth.
_HEADER_WORTH = 0.92


def relative_sizes(values: np.ndarray, spacing: Sequence[float] | None) -> tuple[int, ...]:
    """Return the relative voxel sizes for a split plan, in half octaves, 0 … 15.

    Args:
        values: finite grey values, (*shape).
        spacing: voxel size along each axis in the header, in mm, or None.
    """
    reported = coarseness(spacing, values.ndim)
    sample = _centre(values)
    seen = correlation_sizes(sample)
    low, high = np.quantile(sample, _QUANTILES)
    if split_plan(values.shape, seen) == split_plan(values.shape, reported) or not high > low:
        return reported
    step = (float(high) - float(low)) / _STEPS
    most = _HEADER_WORTH * _bits(sample, reported, step)
    return seen if _bits(sample, seen, step) < most else reported


def neighbour_differences(values: np.ndarray) -> list[float]:
    """Return the mean squared difference of neighbours along each axis, in the centre of a scan.

    Args:
        values: finite grey values, (*shape), scaled in no particular way.

    Returns:
        Differences in one unit for all axes; 0 for an axis of one voxel.
    """
    sample = _centre(values)
    return [_difference(sample, axis, 1) or 0.0 for axis in range(values.ndim)]


def correlation_sizes(values: np.ndarray) -> tuple[int, ...]:
    """Estimate the relative voxel sizes from the grey values, in half octaves, 0 … 15.

    The size of an axis is a lag along the smoothest axis. At this lag, voxels differ as much as
    neighbours along the axis.
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
    """Return the mean squared difference at a lag along an axis; None on a short axis."""
    if 2 * lag > values.shape[axis]:
        return None
    along = np.moveaxis(values, axis, 0)
    return float(np.mean(np.square(along[lag:] - along[:-lag]), dtype=np.float64))


def _bits(values: np.ndarray, sizes: tuple[int, ...], step: float) -> float:
    """Estimate the bits of the coefficients of a decomposition, to rank decompositions."""
    plan = split_plan(values.shape, sizes)
    _, highs = decompose(values[None, None], plan)
    return sum(
        float(np.log2(1.0 + np.abs(high / np.float32(step))).sum(dtype=np.float64))
        for high in highs
    )


def _centre(values: np.ndarray) -> np.ndarray:
    """Return the centre of a scan in float32, scaled to mean 0 and at most 1 in magnitude."""
    longest = round(_SAMPLES ** (1.0 / values.ndim))
    starts = [max(0, (n - longest) // 2) for n in values.shape]
    sample = values[tuple(slice(s, s + longest) for s in starts)].astype(np.float64)
    # Scaled twice: the mean must not overflow, and a small contrast may stand on a large mean.
    sample = _scaled(sample)
    return _scaled(sample - sample.mean()).astype(np.float32)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Scale values to at most 1 in magnitude."""
    largest = float(np.abs(values).max())
    return values / largest if largest > 0 else values
