"""The network of VoxelMorph and CycleMorph: two images in, a displacement out.

    moving ⊕ fixed (B, 2, …) ─ 16 ─↓ 32 ─↓ 32 ─↓ 32 ─↑ 32 ─↑ 32 ─↑ 32 ─ 16 ─ 16 ─▶ (B, 3, …)
                                └───────┴───────┴ skips ┘───────┘──────┘

Channels after Balakrishnan et al. 2019. Images come at half resolution, which stands in for the
first of their four halvings, so that a CPU can train it in minutes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepstd.resampling import resample

_ENCODER = (16, 32, 32, 32)
_DECODER = (32, 32, 32)
_LAST = (16, 16)
_SQUARINGS = 7


class UNet(nn.Module):
    """Displacement of two images, in voxels; small at the start.

    Args:
        stride: of every halving, for each axis; 1 leaves a thin axis alone.
    """

    def __init__(self, stride: Sequence[int]) -> None:
        super().__init__()
        first, second, third = stride
        self.stride = (first, second, third)
        widths = (2, *_ENCODER)
        self.encoder = nn.ModuleList(
            nn.Conv3d(a, b, 3, self.stride if level else 1, 1)
            for level, (a, b) in enumerate(itertools.pairwise(widths))
        )
        below, skips = _ENCODER[-1], _ENCODER[-2::-1]
        self.decoder = nn.ModuleList()
        for width, skip in zip(_DECODER, skips, strict=True):
            self.decoder.append(nn.Conv3d(below + skip, width, 3, 1, 1))
            below = width
        self.last = nn.ModuleList()
        for width in _LAST:
            self.last.append(nn.Conv3d(below, width, 3, 1, 1))
            below = width
        self.flow = nn.Conv3d(below, 3, 3, 1, 1)
        nn.init.normal_(self.flow.weight, std=1e-5)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """(B, 1, I, J, K) twice -> (B, 3, I, J, K)."""
        kept = []
        h = torch.cat([moving, fixed], 1)
        for layer in self.encoder:
            h = F.leaky_relu(layer(h), 0.2)
            kept.append(h)
        for layer, skip in zip(self.decoder, kept[-2::-1], strict=True):
            h = F.interpolate(h, size=skip.shape[2:], mode="nearest")
            h = F.leaky_relu(layer(torch.cat([h, skip], 1)), 0.2)
        for layer in self.last:
            h = F.leaky_relu(layer(h), 0.2)
        return self.flow(h)


def warp(images: Tensor, displacement: Tensor) -> Tensor:
    """Images (B, C, I, J, K) at x + u(x), u (B, 3, I, J, K) in voxels."""
    axes = [torch.arange(n, dtype=displacement.dtype) for n in displacement.shape[2:]]
    x = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return resample(images, x + displacement.movedim(1, -1))


def exponential(velocity: Tensor) -> Tensor:
    """Displacement of a stationary velocity field, by scaling and squaring."""
    u = velocity / 2**_SQUARINGS
    for _ in range(_SQUARINGS):
        u = u + warp(u, u)
    return u


def local_correlation(a: Tensor, b: Tensor, window: Sequence[int]) -> Tensor:
    """Mean squared correlation in boxes around every voxel, 0 to 1."""
    pad = [w // 2 for w in window]

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool3d(x, tuple(window), 1, pad, count_include_pad=False)

    ma, mb = mean(a), mean(b)
    both = mean(a * b) - ma * mb
    power = (mean(a * a) - ma * ma).clamp_min(0) * (mean(b * b) - mb * mb).clamp_min(0)
    return (both * both / (power + 1e-6)).mean()


def roughness(displacement: Tensor) -> Tensor:
    """Mean squared forward difference, the diffusion regulariser."""
    slopes = [(torch.diff(displacement, dim=axis) ** 2).mean() for axis in (2, 3, 4)]
    return torch.stack(slopes).mean()
