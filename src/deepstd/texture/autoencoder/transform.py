"""Analysis and synthesis: a linear block transform with a transformer-CNN correction.

    scan ─┬ DCT of blocks ───────────────────────┬ + ─▶ latents      (analysis)
          └ RBS ─ TCM ─ TCM ─ RBS ─ … ─ 1x1 = 0 ─┘
    latents ─┬ inverse DCT ──────────────────────┬ + ─▶ restored     (synthesis)
             └ TCM ─ TCM ─ RBU ─ … ─ exit = 0 ───┘

The linear path starts as an orthonormal DCT and the correction as zero, so training starts from a
working transform codec. Values and latents are in quantisation steps. The networks see them on a
logarithmic scale and are conditioned on the step, so one network serves every rate. All of it is
ordinary floating point: the entropy model alone must be exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepstd.texture.autoencoder.blocks import (
    SLOPE,
    ResidualDown,
    ResidualUp,
    TCMBlock,
    convolution,
    zero_convolution,
)
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.networks.conditioning import TensorHint
from deepstd.texture.networks.fold import fold, unfold

# Fractional bits of the exact transform.
_EXACT_BITS = 11


def blocks_of(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Fold blocks into channels: (B, 1, *grid · stride) to (B, stride**ndim, *grid)."""
    for _ in range(stride.bit_length() - 1):
        x = fold(x)
    return x


def voxels_of(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Unfold channels into the voxels of blocks, the inverse of `blocks_of`."""
    ndim = x.ndim - 2
    for _ in range(stride.bit_length() - 1):
        x = unfold(x, x.shape[1] // 2**ndim)
    return x


def mixed(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Multiply the channels of (B, C, *grid) by a matrix (outputs, C)."""
    batch, _, *grid = x.shape
    return (matrix @ x.flatten(2)).reshape(batch, len(matrix), *grid)


def cosine_transform(ndim: int, stride: int) -> torch.Tensor:
    """Return the orthonormal DCT matrix of the channels of `blocks_of`.

    Returns:
        float64 (bands, bands), lowest frequencies first.
    """
    position = np.arange(stride)
    basis = np.cos(math.pi * (position[None] + 0.5) * position[:, None] / stride)
    basis *= np.sqrt(np.where(position == 0, 1.0, 2.0) / stride)[:, None]
    frequencies = sorted(product(range(stride), repeat=ndim), key=lambda f: (sum(f), max(f), f))
    # `blocks_of` itself defines the order of the voxels of a block.
    numbers = torch.arange(stride**ndim, dtype=torch.float64).reshape(1, 1, *[stride] * ndim)
    order = blocks_of(numbers, stride).flatten().long().numpy()
    rows = []
    for frequency in frequencies:
        wave = np.ones(())
        for f in frequency:
            wave = wave[..., None] * basis[f]
        rows.append(wave.reshape(-1)[order])
    return torch.from_numpy(np.array(rows))


def exact_transform(ndim: int, stride: int) -> torch.Tensor:
    """Return `cosine_transform` rounded to multiples of 2**-11, which is exact in float64."""
    scaled = cosine_transform(ndim, stride) * 2.0**_EXACT_BITS
    return torch.floor(scaled + 0.5) * 2.0**-_EXACT_BITS


def compressed(x: torch.Tensor) -> torch.Tensor:
    """Return sign(x) log(1 + |x|), linear near zero and logarithmic far from it."""
    return torch.sign(x) * torch.log1p(x.abs())


def padded(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Pad (B, C, *shape) to whole blocks by repeating the border."""
    for dim in range(2, x.ndim):
        missing = -x.shape[dim] % stride
        if missing:
            last = x.narrow(dim, x.shape[dim] - 1, 1)
            x = torch.cat([x, last.repeat_interleave(missing, dim)], dim)
    return x


def _places_of(hint: TensorHint | None, stride: int) -> torch.Tensor | None:
    if hint is None:
        return None
    return hint.places[(..., *[slice(None, None, stride)] * (hint.places.ndim - 2))]


class _Stage(nn.Module):
    """Two TCM blocks, the second with shifted windows, as in Swin transformers."""

    def __init__(self, config: AutoencoderConfig, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TCMBlock(config.ndim, width, config.window, shifted=shifted, placed=config.template)
            for shifted in (False, True)
        )

    def forward(self, x: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, places)
        return x


class Analysis(nn.Module):
    """Analysis transform of scans to latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        ndim, self._config = config.ndim, config
        self.linear = nn.Parameter(cosine_transform(ndim, config.stride).float())
        inputs = [2 if config.template else 1, *config.widths[:-1]]
        self.down = nn.ModuleList(
            ResidualDown(ndim, a, b) for a, b in zip(inputs, config.widths, strict=True)
        )
        self.conditions = nn.ModuleList(
            nn.Linear(config.conditions, width) for width in config.widths
        )
        self.stages = nn.ModuleList(_Stage(config, width) for width in config.widths)
        self.exit = zero_convolution(ndim, config.widths[-1], config.bands)

    def forward(
        self,
        values: torch.Tensor,
        hint: TensorHint | None,
        condition: torch.Tensor,
    ) -> torch.Tensor:
        """Return the latents in steps, (B, bands, *grid).

        Args:
            values: values in steps, (B, 1, *shape), whole blocks.
            hint: prediction of the voxels, (B, 1, *shape) float32, or None.
            condition: condition vector, (B, conditions, 1 …).
        """
        channels = [compressed(values)]
        if hint is not None:
            channels.append(compressed(values - hint.steps))
        x = torch.cat(channels, 1)
        for number, (down, stage) in enumerate(zip(self.down, self.stages, strict=True)):
            x = down(x) + _projected(self.conditions[number], condition)
            x = stage(x, _places_of(hint, 2 ** (number + 1)))
        linear = mixed(blocks_of(values, self._config.stride), self.linear)
        return linear + self.exit(x)


class Synthesis(nn.Module):
    """Synthesis transform of latents to scans.

    Attributes:
        halo: voxels around a tile that it depends on, a multiple of the windows of all stages.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        ndim, self._config = config.ndim, config
        coarse = list(reversed(config.widths))
        self.linear = nn.Parameter(cosine_transform(ndim, config.stride).float())
        self.entry = convolution(ndim, config.bands * (2 if config.template else 1), coarse[0], 1)
        self.conditions = nn.ModuleList(nn.Linear(config.conditions, width) for width in coarse)
        self.stages = nn.ModuleList(_Stage(config, width) for width in coarse)
        self.up = nn.ModuleList(ResidualUp(ndim, a, b) for a, b in pairwise(coarse))
        cells = 2**ndim
        # The finest stage also sees the linear reconstruction and the template, voxel by voxel.
        self.look = convolution(ndim, cells * (2 if config.template else 1), coarse[-1], 3)
        self.exit = zero_convolution(ndim, coarse[-1], cells)
        self.halo = _halo(config)

    def forward(
        self,
        latents: torch.Tensor,
        hint: TensorHint | None,
        condition: torch.Tensor,
    ) -> torch.Tensor:
        """Return the restored values in steps, (B, 1, *shape), whole blocks.

        Args:
            latents: latents in steps, (B, bands, *grid).
            hint: prediction of the voxels, (B, 1, *shape) float32, or None.
            condition: condition vector, (B, conditions, 1 …).
        """
        stride = self._config.stride
        linear = voxels_of(mixed(latents, self.linear.T), stride)
        known, seen = [compressed(latents)], [compressed(linear - _local_mean(linear))]
        if hint is not None:
            known.append(compressed(mixed(blocks_of(hint.steps, stride), self.linear)))
            seen.append(compressed(hint.steps - linear))
        x = self.entry(torch.cat(known, 1))
        for number, stage in enumerate(self.stages):
            if number:
                x = self.up[number - 1](x)
            if number + 1 == len(self.stages):
                x = x + self.look(fold(torch.cat(seen, 1)))
            x = x + _projected(self.conditions[number], condition)
            x = stage(functional.leaky_relu(x, SLOPE), _places_of(hint, stride >> number))
        return linear + unfold(self.exit(x), 1)


def _projected(layer: nn.Module, condition: torch.Tensor) -> torch.Tensor:
    projected = layer(condition.flatten(1).float() / 32.0)
    return projected.reshape(*projected.shape, *[1] * (condition.ndim - 2))


def _local_mean(x: torch.Tensor) -> torch.Tensor:
    pool = functional.avg_pool3d if x.ndim == 5 else functional.avg_pool2d
    return pool(x, 3, stride=1, padding=1, count_include_pad=False)


def _halo(config: AutoencoderConfig) -> int:
    """Return the reach of the synthesis in voxels, rounded up to whole windows."""
    reach = 0
    for stage in range(len(config.widths)):
        # Two blocks, each of two convolutions and an attention, and convolutions between stages.
        reach += 2 ** (stage + 1) * (2 * (2 + config.window - 1) + 2)
    whole = config.stride * config.window
    return -(-(reach + 2) // whole) * whole


def whole_blocks(shape: Sequence[int], stride: int) -> tuple[int, ...]:
    """Return the grid of the latents of a scan."""
    return tuple(-(-n // stride) for n in shape)
