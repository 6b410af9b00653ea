"""CDF 9/7 wavelet in torch: the trainable version of `wavelet.lifting`, and its reference.

    x ─ split axis by axis ─▶ low (ceil n/2) ─ split ─▶ … ─▶ one last low
                           └▶ 2**ndim − 1 high subbands a level

Lifting steps are not rounded where a gradient is required. In float64, `merge` gives the same bits
as the version in numpy.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

import torch

from deepstd.devices import CPU, Workers
from deepstd.texture.wavelet import lifting
from deepstd.texture.wavelet.lifting import (
    Plan,
    coarseness,  # noqa: F401 - other modules import it from here
    grid_shapes,  # noqa: F401
    split_plan,  # noqa: F401
    subband_shape,
)
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
# Coefficients that a merged sample depends on, on either side, and samples of a slab.
_REACH = 4
_SLAB_SAMPLES = 1 << 22


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


def merge_in_slabs(
    low: torch.Tensor,
    high: torch.Tensor,
    axes: Sequence[int],
    fine: Sequence[int],
    workers: Workers = CPU,
) -> torch.Tensor:
    """Merge a large level slab by slab along the first axis, bit-exactly as `merge`.

    Args:
        low: low subband, (B, 1, *coarse) whole numbers; the computation is in float64.
        high: high subbands, (B, 2**ndim − 1, *coarse) whole numbers; padding is not read.
        axes: axes that were split.
        fine: shape before the split.
        workers: workers that share the slabs; slabs are computed on the device of the subbands.

    Returns:
        (B, 1, *fine), whole numbers in float32.
    """
    split_first = 0 in axes
    count = low.shape[2]
    factor = 2 if split_first else 1
    reach = _REACH if split_first else 0
    rows = max(1, _SLAB_SAMPLES // max(1, math.prod(fine[1:]) * factor))
    merged = low.new_empty((low.shape[0], 1, *fine), dtype=torch.float32)

    def merge_slab(_: torch.device, start: int) -> None:
        stop = min(start + rows, count)
        first, last = max(start - reach, 0), min(stop + reach, count)
        length = min(factor * last, fine[0]) - factor * first
        part = merge(
            low[:, :, first:last].double(),
            high[:, :, first:last].double(),
            axes,
            (length, *fine[1:]),
        )
        end = min(factor * stop, fine[0])
        merged[:, :, factor * start : end] = part[
            :, :, factor * (start - first) : end - factor * first
        ]

    deque(workers.map(merge_slab, range(0, count, rows)), maxlen=0)
    return merged


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


def synthesis_adjoint(gradient: torch.Tensor, plan: Plan, levels: int) -> list[torch.Tensor]:
    """Return the gradients of the high subbands, given the gradient of the merged samples.

    The lifting steps of `merge` are transposed and run backwards, without rounding.

    Args:
        gradient: gradient of the merged samples, (B, 1, *shape) floating point.
        plan: axes split at each level, finest first.
        levels: number of finest levels.

    Returns:
        (B, 2**ndim − 1, *coarse) of each level, finest first; zero in the padding.
    """
    gradients = []
    for axes in plan[:levels]:
        bands = {0: gradient}
        for axis in axes:
            halves = {band: _merge_adjoint(part, axis + 2) for band, part in bands.items()}
            bands = {band | (bit << axis): halves[band][bit] for band in bands for bit in (0, 1)}
        gradient, high = _gathered(bands, gradient)
        gradients.append(high)
    return gradients


def _merge_adjoint(gradient: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of both inputs of `_merge_axis`."""
    length = gradient.shape[dim]
    low = gradient.index_select(dim, _every_second(0, length, gradient.device))
    high = gradient.index_select(dim, _every_second(1, length, gradient.device))
    for predict, update in ((PREDICT_1, UPDATE_1), (PREDICT_2, UPDATE_2)):
        low = torch.sub(low, _to_low(high, low.shape[dim], dim), alpha=predict / ONE)
        high = torch.sub(high, _to_high(low, high.shape[dim], dim), alpha=update / ONE)
    return _scaled(low, GAIN_INVERSE), _scaled(high, GAIN)


def _to_low(high: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    """Apply the transpose of `_neighbours_of_high`."""
    reach = high.shape[dim]
    to_low = _extended(high, count, dim)
    to_low.narrow(dim, 1, min(reach, count - 1)).add_(high.narrow(dim, 0, min(reach, count - 1)))
    if count == reach:
        to_low.narrow(dim, count - 1, 1).add_(high.narrow(dim, reach - 1, 1))
    return to_low


def _to_high(low: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    """Apply the transpose of `_neighbours_of_low`."""
    to_high = low.narrow(dim, 0, count).clone()
    following = min(count, low.shape[dim] - 1)
    to_high.narrow(dim, 0, following).add_(low.narrow(dim, 1, following))
    to_high.narrow(dim, 0, 1).add_(low.narrow(dim, 0, 1))
    if low.shape[dim] > count:
        to_high.narrow(dim, count - 1, 1).add_(low.narrow(dim, count, 1))
    return to_high


def _extended(x: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    """Return a copy with zeros behind, up to ``count`` samples along an axis."""
    shape = list(x.shape)
    shape[dim] = count - x.shape[dim]
    return torch.cat([x, x.new_zeros(shape)], dim)
