"""Input features of the context model in torch: the trainable version of `entropy.features`.

    coarser reconstruction ─ detail ─┐
    parent high subbands ────────────┼─ signed logarithm ─▶ features in −127 … 127
    warped template, its subbands ───┤
    template coordinates ────────────┘

Means are not rounded where a gradient is required.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from deepstd.texture.entropy.features import LOG_UNIT, log_thresholds


@lru_cache(maxsize=8)
def _thresholds(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(log_thresholds()).to(device, dtype)


def signed_log(x: torch.Tensor) -> torch.Tensor:
    """Return sign(x) round(8 log2(1 + |x| / 16)), clipped to ±127, of x in 1/64 step."""
    magnitude = torch.floor(x.abs() * (1.0 / LOG_UNIT))
    index = torch.bucketize(magnitude, _thresholds(x.device, x.dtype), right=True)
    return torch.sign(x) * index.to(x.dtype)


def blur(x: torch.Tensor) -> torch.Tensor:
    """Apply the binomial 1-2-1 mean along every spatial axis, with repeated edges.

    Means are rounded down, except where a gradient is required.
    """
    ndim = x.ndim - 2
    for dim in range(2, x.ndim):
        first, last = x.narrow(dim, 0, 1), x.narrow(dim, x.shape[dim] - 1, 1)
        extended = torch.cat([first, x, last], dim)
        n = x.shape[dim]
        x = extended.narrow(dim, 0, n) + extended.narrow(dim, 2, n) + 2 * x
    # Rounding has no useful gradient.
    return x * 0.25**ndim if x.requires_grad else torch.floor(x * 0.25**ndim)


def upsample(x: torch.Tensor, axes: Sequence[int], region: Sequence[slice]) -> torch.Tensor:
    """Upsample to a region of the fine grid by repeating samples along the axes that were split."""
    for axis, span in enumerate(region):
        if axis in axes:
            first = span.start // 2
            x = x.narrow(axis + 2, first, (span.stop + 1) // 2 - first).repeat_interleave(
                2, axis + 2
            )
            x = x.narrow(axis + 2, span.start % 2, span.stop - span.start)
        else:
            x = x.narrow(axis + 2, span.start, span.stop - span.start)
    return x


def subsample(x: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    """Take every second sample along the axes that were split, the positions of low samples."""
    for axis in axes:
        n = x.shape[axis + 2]
        x = x.index_select(axis + 2, torch.arange(0, n, 2, device=x.device))
    return x
