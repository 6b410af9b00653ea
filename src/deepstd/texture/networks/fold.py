"""Voxels folded into channels and back, for convolutions at half the resolution.

(B, C, *2n) ─ fold ─▶ (B, C * 2**ndim, *n) ─ unfold ─▶ (B, C, *2n)
"""

from __future__ import annotations

import torch


def fold(x: torch.Tensor) -> torch.Tensor:
    """Fold voxels into channels: (B, C, *2n) to (B, C * 2**ndim, *n)."""
    ndim = x.ndim - 2
    shape = [*x.shape[:2]]
    for n in x.shape[2:]:
        shape += [n // 2, 2]
    x = x.reshape(shape)
    order = [0, 1, *(3 + 2 * a for a in range(ndim)), *(2 + 2 * a for a in range(ndim))]
    return x.permute(order).flatten(1, 1 + ndim)


def unfold(x: torch.Tensor, channels: int) -> torch.Tensor:
    """Unfold channels into voxels: (B, channels * 2**ndim, *n) to (B, channels, *2n)."""
    ndim = x.ndim - 2
    grid = x.shape[2:]
    x = x.reshape(x.shape[0], channels, *[2] * ndim, *grid)
    order = [0, 1]
    for axis in range(ndim):
        order += [2 + ndim + axis, 2 + axis]
    return x.permute(order).reshape(x.shape[0], channels, *(2 * n for n in grid))
