"""Building blocks of the autoencoder, in 2-D and 3-D from one definition.

    RBS: strided convolutions, half the grid        RBU: sub-pixel convolutions, twice the grid
    TCM: 1x1 ─ split ┬ residual convolutions ────────────┬ concat ─ 1x1 ─ + input
                     └ + place ─ window attention ─ MLP ─┘

Paper, "Architecture of texture encoder/decoder"; TCM after Liu et al. (CVPR 2023). The last 1x1
convolution of a block starts at zero, so an untrained network is the linear transform codec.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import nn
from torch.nn import functional

from deepstd.resampling import resample
from deepstd.texture.networks.fold import unfold

SLOPE = 0.1
"""Slope of the LeakyReLU below zero."""
# Channels of an attention head, and hidden channels of the MLP per channel.
_HEAD_WIDTH = 8
_MLP_FACTOR = 2
# Learned vectors along each axis of the template, and largest template coordinate.
_PLACES = 6
_PLACE_HALF = 64.0
# Windows of a batch, which bounds memory.
_WINDOWS_AT_ONCE = 1024
# Standard deviation of the initial biases.
_BIAS_SPREAD = 0.02


def convolution(ndim: int, inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
    """Make a convolution with "same" zero padding."""
    kind = nn.Conv3d if ndim == 3 else nn.Conv2d
    return kind(inputs, outputs, size, stride=stride, padding=size // 2)


def zero_convolution(ndim: int, inputs: int, outputs: int) -> nn.Module:
    """Make a 1x1 convolution that starts at zero."""
    layer = convolution(ndim, inputs, outputs, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ResidualDown(nn.Module):
    """Residual block with stride 2 (RBS): (B, inputs, *grid) to (B, outputs, *grid / 2).

    The grid must be even.
    """

    def __init__(self, ndim: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = convolution(ndim, inputs, outputs, 3, stride=2)
        self.second = convolution(ndim, outputs, outputs, 3)
        self.skip = convolution(ndim, inputs, outputs, 1, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Downsample (B, inputs, *grid) to (B, outputs, *grid / 2)."""
        y = functional.leaky_relu(self.first(x), SLOPE)
        return functional.leaky_relu(self.second(y), SLOPE) + self.skip(x)


class ResidualUp(nn.Module):
    """Residual block with upsampling (RBU): (B, inputs, *grid) to (B, outputs, *2 grid)."""

    def __init__(self, ndim: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self._outputs = outputs
        self.first = convolution(ndim, inputs, outputs * 2**ndim, 3)
        self.second = convolution(ndim, outputs, outputs, 3)
        self.skip = convolution(ndim, inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Upsample (B, inputs, *grid) to (B, outputs, *2 grid)."""
        y = functional.leaky_relu(unfold(self.first(x), self._outputs), SLOPE)
        y = functional.leaky_relu(self.second(y), SLOPE)
        return y + functional.interpolate(self.skip(x), scale_factor=2.0, mode="nearest")


class PlaceEncoding(nn.Module):
    """Learned encoding of template coordinates, for tokens on a grid.

    The paper gives each block of a scan a learned encoding of its relative position. Here every
    token has an encoding, interpolated between learned vectors that span the template. It does not
    depend on the division into blocks.
    """

    def __init__(self, ndim: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, width, *[_PLACES] * ndim))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """Encode template coordinates (B, ndim, *grid), −64 … 64, as (B, width, *grid)."""
        unit = (places.float() / _PLACE_HALF + 1) * ((_PLACES - 1) / 2)
        coordinates = unit.movedim(1, -1)
        return resample(self.table.expand(len(places), *self.table.shape[1:]), coordinates)


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learned bias for every relative position.

    Args:
        ndim: 2 or 3 spatial axes.
        width: channels.
        window: edge of a window in tokens.
        shifted: whether windows begin half a window before the grid. Positions outside the grid
            are masked.
    """

    relative: torch.Tensor

    def __init__(self, ndim: int, width: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        self._window, self._shift = window, window // 2 if shifted else 0
        self._heads = max(1, width // _HEAD_WIDTH)
        self.queries = nn.Linear(width, 3 * width)
        self.exit = nn.Linear(width, width)
        span = (2 * window - 1) ** ndim
        self.bias = nn.Parameter(_BIAS_SPREAD * torch.randn(self._heads, span))
        self.register_buffer("relative", _relative_positions(ndim, window), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply attention to tokens (B, *grid, width); return the same shape."""
        batch, *grid, _ = x.shape
        before = self._shift
        after = [-(n + before) % self._window for n in grid]
        padding = [0, 0, *(p for a in reversed(after) for p in (before, a))]
        inside = functional.pad(x.new_ones(grid), padding[2:])
        tokens = self._windows(functional.pad(x, padding))
        hidden = self._windows(inside[None, ..., None]) < 0.5
        mask = None
        if bool(hidden.any()):
            mask = torch.zeros_like(hidden, dtype=x.dtype).masked_fill(hidden, float("-inf"))
            mask = mask.transpose(1, 2)[:, None].repeat(batch, 1, 1, 1)
        bias = self.bias[:, self.relative.flatten()].reshape(self._heads, *self.relative.shape)
        parts = []
        for start in range(0, len(tokens), _WINDOWS_AT_ONCE):
            some = slice(start, start + _WINDOWS_AT_ONCE)
            # A window that holds no token of the grid does not occur: each begins or ends in it.
            parts.append(self._attend(tokens[some], bias if mask is None else bias + mask[some]))
        return self._merged(torch.cat(parts), batch, grid, after)

    def _attend(self, tokens: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        count, length, width = tokens.shape
        parts = self.queries(tokens).reshape(count, length, 3, self._heads, width // self._heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.expand(count, -1, -1, -1)
        )
        return self.exit(mixed.transpose(1, 2).reshape(count, length, width))

    def _windows(self, x: torch.Tensor) -> torch.Tensor:
        """Divide (B, *grid, C) into windows, (B · windows, window ** ndim, C)."""
        batch, *grid, width = x.shape
        ndim = len(grid)
        x = x.reshape(batch, *(m for n in grid for m in (n // self._window, self._window)), width)
        order = [0, *(1 + 2 * a for a in range(ndim)), *(2 + 2 * a for a in range(ndim))]
        return x.permute(*order, 2 * ndim + 1).reshape(-1, self._window**ndim, width)

    def _merged(
        self, tokens: torch.Tensor, batch: int, grid: list[int], after: list[int]
    ) -> torch.Tensor:
        ndim, width = len(grid), tokens.shape[-1]
        padded = [n + self._shift + a for n, a in zip(grid, after, strict=True)]
        counts = [n // self._window for n in padded]
        x = tokens.reshape(batch, *counts, *[self._window] * ndim, width)
        order = [0, *(m for a in range(ndim) for m in (1 + a, 1 + ndim + a)), 2 * ndim + 1]
        x = x.permute(order).reshape(batch, *padded, width)
        return x[(slice(None), *(slice(self._shift, self._shift + n) for n in grid))]


def _relative_positions(ndim: int, window: int) -> torch.Tensor:
    """Return the row of the bias table for every pair of tokens of a window, (T, T)."""
    places = torch.tensor(list(product(range(window), repeat=ndim)))
    apart = places[:, None] - places[None] + window - 1
    base = torch.tensor([(2 * window - 1) ** a for a in reversed(range(ndim))])
    return (apart * base).sum(-1)


class TransformerHalf(nn.Module):
    """Transformer layer: window attention and an MLP, each with layer norm and a residual."""

    def __init__(self, ndim: int, width: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        self.attention = WindowAttention(ndim, width, window, shifted=shifted)
        self.before_mlp = nn.LayerNorm(width)
        self.first = nn.Linear(width, _MLP_FACTOR * width)
        self.second = nn.Linear(_MLP_FACTOR * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer to (B, width, *grid)."""
        tokens = x.movedim(1, -1)
        tokens = tokens + self.attention(self.before_attention(tokens))
        hidden = functional.gelu(self.first(self.before_mlp(tokens)))
        return (tokens + self.second(hidden)).movedim(-1, 1)


class TCMBlock(nn.Module):
    """Transformer-CNN mixture (TCM) block (diagram of the module).

    Args:
        ndim: 2 or 3 spatial axes.
        width: channels, even.
        window: edge of the attention's windows in tokens.
        shifted: whether windows begin half a window before the grid.
        placed: whether tokens have an encoding of their template coordinates.
    """

    def __init__(self, ndim: int, width: int, window: int, *, shifted: bool, placed: bool) -> None:
        super().__init__()
        half = width // 2
        self.entry = convolution(ndim, width, width, 1)
        self.first = convolution(ndim, half, half, 3)
        self.second = convolution(ndim, half, half, 3)
        self.place = PlaceEncoding(ndim, half) if placed else None
        self.transformer = TransformerHalf(ndim, half, window, shifted=shifted)
        self.exit = zero_convolution(ndim, width, width)

    def forward(self, x: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
        """Apply the block to (B, width, *grid).

        Args:
            x: features.
            places: template coordinates, (B, ndim, *grid), or None.
        """
        near, far = self.entry(x).chunk(2, dim=1)
        y = functional.leaky_relu(self.first(near), SLOPE)
        near = near + functional.leaky_relu(self.second(y), SLOPE)
        if self.place is not None and places is not None:
            far = far + self.place(places)
        return x + self.exit(torch.cat([near, self.transformer(far)], 1))
