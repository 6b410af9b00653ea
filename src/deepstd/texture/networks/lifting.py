"""CDF 9/7 wavelet in torch: the trainable version of `wavelet.lifting`, and its reference.

    x ─ split axis by axis ─▶ low (ceil n/2) ─ split ─▶ … ─▶ one last low
                           └▶ 2**ndim − 1 high subbands a level

Lifting steps are not rounded where a gradient is required. In float64, `merge` gives the same bits
as the version in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from deepstd.texture.wavelet import lifting
from deepstd.texture.wavelet.lifting import Plan, subband_shape
from deepstd.texture.wavelet.lifting_steps import (
    GAIN,
    GAIN_INVERSE,
    ONE,
    PREDICT_1,
    PREDICT_2,
    UPDATE_1,
    UPDATE_2,
)

_HALF = torch.tensor(0.5)


def subband_mask(fine: Sequence[int], axes: Sequence[int]) -> torch.Tensor:
    """Return `wavelet.lifting.subband_mask` as a tensor."""
    return torch.from_numpy(lifting.subband_mask(fine, axes))


def _neighbours_of_high(low: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    """Return low[i] + low[i + 1] for each of ``count`` high samples, mirrored at the end."""
    following = low.narrow(dim, 1, low.shape[dim] - 1)
    if following.shape[dim] < count:
        following = torch.cat([following, low.narrow(dim, low.shape[dim] - 1, 1)], dim)
    return low.narrow(dim, 0, count) + following


def _neighbours_of_low(high: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    """Return high[i − 1] + high[i] for each of ``count`` low samples, mirrored at both ends."""
    extended = torch.cat([high.narrow(dim, 0, 1), high], dim)
    if extended.shape[dim] <= count:
        extended = torch.cat([extended, high.narrow(dim, high.shape[dim] - 1, 1)], dim)
    return extended.narrow(dim, 0, count) + extended.narrow(dim, 1, count)


def _scaled(x: torch.Tensor, factor: int) -> torch.Tensor:
    return x * (factor / ONE)


def _times(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Multiply by factor / 16384 and round; exact in float64 for results below 2**38."""
    return torch.add(_HALF, x, alpha=factor / ONE).floor_()


def _plus(x: torch.Tensor, neighbours: torch.Tensor, factor: int, whole: bool) -> torch.Tensor:
    """Apply a lifting step, rounded to whole numbers where ``whole`` is true."""
    if whole:
        return _times(neighbours, factor).add_(x)
    return torch.add(x, neighbours, alpha=factor / ONE)


@lru_cache(maxsize=256)
def _every_second(first: int, length: int, device: torch.device) -> torch.Tensor:
    return torch.arange(first, length, 2, device=device)


def _split_axis(x: torch.Tensor, dim: int, whole: bool) -> tuple[torch.Tensor, torch.Tensor]:
    times = _times if whole else _scaled
    length = x.shape[dim]
    low = x.index_select(dim, _every_second(0, length, x.device))
    high = x.index_select(dim, _every_second(1, length, x.device))
    n_low, n_high = low.shape[dim], high.shape[dim]
    high = _plus(high, _neighbours_of_high(low, n_high, dim), PREDICT_1, whole)
    low = _plus(low, _neighbours_of_low(high, n_low, dim), UPDATE_1, whole)
    high = _plus(high, _neighbours_of_high(low, n_high, dim), PREDICT_2, whole)
    low = _plus(low, _neighbours_of_low(high, n_low, dim), UPDATE_2, whole)
    return times(low, GAIN), times(high, GAIN_INVERSE)


def _merge_axis(low: torch.Tensor, high: torch.Tensor, dim: int) -> torch.Tensor:
    # Rounding has no useful gradient.
    times = _scaled if low.requires_grad or high.requires_grad else _times
    n_low, n_high = low.shape[dim], high.shape[dim]
    low, high = times(low, GAIN_INVERSE), times(high, GAIN)
    low = low - times(_neighbours_of_low(high, n_low, dim), UPDATE_2)
    high = high - times(_neighbours_of_high(low, n_high, dim), PREDICT_2)
    low = low - times(_neighbours_of_low(high, n_low, dim), UPDATE_1)
    high = high - times(_neighbours_of_high(low, n_high, dim), PREDICT_1)
    shape = list(low.shape)
    shape[dim] = n_low + n_high
    x = low.new_empty(shape)
    index = [slice(None)] * low.ndim
    index[dim] = slice(0, None, 2)
    x[tuple(index)] = low
    index[dim] = slice(1, None, 2)
    x[tuple(index)] = high
    return x


def split(
    x: torch.Tensor, axes: Sequence[int], *, whole: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Split one level into low (B, 1, *coarse) and high subbands (B, 2**ndim − 1, *coarse).

    Args:
        x: samples, (B, 1, *fine).
        axes: axes to split.
        whole: whether every lifting step is rounded to a whole number, exactly in float64.
    """
    bands = {0: x}
    for axis in axes:
        halves = {band: _split_axis(part, axis + 2, whole) for band, part in bands.items()}
        bands = {band | (bit << axis): halves[band][bit] for band in bands for bit in (0, 1)}
    return _gathered(bands, x)


def _gathered(bands: dict[int, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the low subband, and all high subbands of ``x`` in one tensor, zero in the padding."""
    low = bands[0]
    high = x.new_zeros((x.shape[0], 2 ** (x.ndim - 2) - 1, *low.shape[2:]))
    for band, part in bands.items():
        if band:
            high[(slice(None), slice(band - 1, band), *(slice(0, n) for n in part.shape[2:]))] = (
                part
            )
    return low, high


def merge(
    low: torch.Tensor, high: torch.Tensor, axes: Sequence[int], fine: Sequence[int]
) -> torch.Tensor:
    """Merge one level, the inverse of `split`, on whole numbers of the fixed-point unit.

    Lifting steps are not rounded where a gradient is required.

    Args:
        low: low subband, (B, 1, *coarse) whole numbers in float64 (float32 in training).
        high: high subbands, (B, 2**ndim − 1, *coarse) of the same type; padding is not read.
        axes: axes that were split.
        fine: shape before the split.

    Returns:
        (B, 1, *fine), whole numbers.
    """
    bands = {0: low}
    for band in range(1, 2 ** len(fine)):
        shape = subband_shape(fine, axes, band)
        if shape is not None:
            region = (slice(None), slice(band - 1, band), *(slice(0, n) for n in shape))
            bands[band] = high[region]
    for axis in reversed(axes):
        bands = {
            band: _merge_axis(part, bands[band | 1 << axis], axis + 2)
            for band, part in bands.items()
            if not band >> axis & 1
        }
    return bands[0]


def decompose(
    x: torch.Tensor, plan: Plan, *, whole: bool = False
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Decompose samples; return the low and the high subbands of each level, finest first.

    Args:
        x: samples, (B, 1, *shape).
        plan: axes split at each level, finest first.
        whole: whether every lifting step is rounded to a whole number, exactly in float64.
    """
    lows, highs = [], []
    for axes in plan:
        x, high = split(x, axes, whole=whole)
        lows.append(x)
        highs.append(high)
    return lows, highs
