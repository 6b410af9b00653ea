"""Integer network layers in torch: the trainable version of `entropy.integer`.

    whole numbers ─ convolution with whole weights ─ shift, round, clamp ─▶ whole numbers

Activations are whole multiples of 1/32. Weights are whole multiples of 2**−shift. The shift is the
largest (at most 8) for which no partial sum can reach 2**24. Float32 then represents every
intermediate sum exactly in any order, so threads, devices and float64 agree to the last bit.
Training runs the same arithmetic with straight-through gradients, so no calibration follows (after
Ballé et al. 2019, integer networks).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional

from deepstd.texture.entropy.integer import (
    ACTIVATION_BITS,
    EXACT,
    HIDDEN_MAX,
    MAX_SHIFT,
    OUTPUT_MAX,
    LayerSize,
    WholeConv,
)
from deepstd.texture.tiling import Sides

_HALF = torch.tensor(0.5)
_Network = TypeVar("_Network", bound=nn.Module)
_Whole = tuple[torch.Tensor, torch.Tensor]


def round_through(x: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    """Round ``factor`` x half up; the gradient passes straight through the rounding."""
    return _RoundThrough.apply(x, factor) if x.requires_grad else _rounded(x, factor)


class ExactConv(nn.Module):
    """Convolution of whole numbers by whole weights to whole numbers, zero-padded at borders.

    Inputs and outputs count units of 1/32. Outputs are clamped to ±8191, so that sums of several
    outputs stay exact.

    Args:
        ndim: 2 or 3 spatial axes.
        size: channels, kernel and range of the layer.
        gain: factor on the initial weights.
    """

    def __init__(self, ndim: int, size: LayerSize, *, gain: float = 1.0) -> None:
        super().__init__()
        shape = size.kernel(ndim)
        bound = gain * math.sqrt(3.0 / math.prod(shape[1:]))
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(size.outputs))
        self.size = size
        self.frozen_shift: int | None = None
        self._frozen: dict[tuple[torch.device, torch.dtype], _Whole] = {}

    def shift(self) -> int:
        """Return the fractional bits of the weights: the most that keep every sum below 2**24."""
        if self.frozen_shift is not None:
            return self.frozen_shift
        return _shift_for(float(self.reach()))

    @torch.no_grad()
    def reach(self) -> torch.Tensor:
        """Return the largest magnitude of a sum at shift 0, a scalar tensor."""
        reach = self.weight.abs().flatten(1).sum(1) * self.size.input_max
        return (reach + self.bias.abs() * 2**ACTIVATION_BITS).max()

    def forward(self, x: torch.Tensor, borders: Sides | None = None) -> torch.Tensor:
        """Convolve whole numbers (B, inputs, *grid) to (B, outputs, *grid), float32 or float64.

        Args:
            x: whole numbers.
            borders: for each axis, whether ``x`` begins and ends at a border; None for all. Other
                sides are not padded.
        """
        shift = self.shift()
        weight, bias = self._whole(shift, x.dtype)
        total = _convolve(x, weight, bias, borders)
        if total.dtype == torch.float64:
            # Whole up to what a transform-domain (Winograd) algorithm may have left.
            total = torch.round(total)
        return _bounded(round_through(total, 2.0**-shift), -OUTPUT_MAX, OUTPUT_MAX)

    def _whole(self, shift: int, dtype: torch.dtype) -> _Whole:
        """Return weights and biases as whole numbers, cached for frozen layers."""
        key = self.weight.device, dtype
        if key in self._frozen and not self.weight.requires_grad:
            return self._frozen[key]
        weight = round_through(self.weight, 2.0**shift).to(dtype)
        bias = round_through(self.bias, 2.0 ** (shift + ACTIVATION_BITS)).to(dtype)
        if self.frozen_shift is not None and not self.weight.requires_grad:
            self._frozen[key] = weight, bias
        return weight, bias

    def to_integers(self) -> dict[str, torch.Tensor]:
        """Return weights, biases and shift as stored in a bundle."""
        shift = self.shift()
        weight = torch.floor(self.weight.detach() * 2.0**shift + 0.5)
        bias = torch.floor(self.bias.detach() * 2.0 ** (shift + ACTIVATION_BITS) + 0.5)
        return {
            "weight": weight.to(torch.int16),
            "bias": bias.to(torch.int32),
            "shift": torch.tensor([shift], dtype=torch.int8),
        }

    def load_integers(self, stored: WholeConv) -> None:
        """Load the integers of a bundle's layer and freeze the shift."""
        weight, bias = torch.from_numpy(stored.weight), torch.from_numpy(stored.bias)
        with torch.no_grad():
            self.weight.copy_(weight.double() / 2.0**stored.shift)
            self.bias.copy_(bias.double() / 2.0 ** (stored.shift + ACTIVATION_BITS))
        self.frozen_shift = stored.shift
        self._frozen.clear()


def thawed(network: _Network) -> _Network:
    """Make a network trainable: unfreeze its shifts and enable its gradients."""
    for layer in network.modules():
        if isinstance(layer, ExactConv):
            layer.frozen_shift = None
            layer._frozen.clear()
    return network.requires_grad_()


@contextmanager
def fixed_shifts(network: nn.Module) -> Iterator[None]:
    """Fix the shifts of a network in training, whose weights must not change meanwhile.

    All shifts are computed at once, because reading a shift synchronises with the GPU.
    """
    layers = [m for m in network.modules() if isinstance(m, ExactConv) and m.frozen_shift is None]
    if layers:
        for layer, reach in zip(
            layers, torch.stack([m.reach() for m in layers]).tolist(), strict=True
        ):
            layer.frozen_shift = _shift_for(reach)
    try:
        yield
    finally:
        for layer in layers:
            layer.frozen_shift = None


def _shift_for(reach: float) -> int:
    return max(0, min(MAX_SHIFT, math.floor(math.log2(0.9 * EXACT / max(reach, 1e-6)))))


def clamp(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Clamp values, with the gradient kept where it points back into the range."""
    return _ClampThrough.apply(x, low, high) if x.requires_grad else x.clamp(low, high)


def relu(x: torch.Tensor) -> torch.Tensor:
    """Rectify activations to 0 … 1023; ``x`` is overwritten where no gradient is required."""
    return _bounded(x, 0, HIDDEN_MAX)


def _bounded(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return x.clamp(low, high) if x.requires_grad else x.clamp_(low, high)


def _convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, borders: Sides | None
) -> torch.Tensor:
    reach = weight.shape[-1] // 2
    padding = [reach] * (x.ndim - 2)
    if borders is not None and reach:
        padding = [reach * (begins and ends) for begins, ends in borders]
        sides = [
            reach * (side and side != other)
            for begins, ends in reversed(borders)
            for side, other in ((begins, ends), (ends, begins))
        ]
        x = functional.pad(x, sides) if any(sides) else x
    if x.device.type == "cpu":
        # CPUs convolve faster in this memory order, which the operations below keep.
        order = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        x = x.contiguous(memory_format=order)
    if x.ndim == 4:
        return functional.conv2d(x, weight, bias, padding=padding)
    if x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.enabled:
        # conv3d takes a single small volume to a kernel that is slow and uses one thread.
        ones = [1, 1, 1]
        return torch.mkldnn_convolution(x, weight, bias, padding, ones, ones, 1)
    return functional.conv3d(x, weight, bias, padding=padding)


def _rounded(x: torch.Tensor, factor: float) -> torch.Tensor:
    return torch.add(_HALF, x, alpha=factor).floor_()


class _RoundThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return _rounded(x, factor)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        return gradient if ctx.factor == 1.0 else gradient * ctx.factor, None


class _ClampThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, low: float, high: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.range = (low, high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        (x,) = ctx.saved_tensors
        low, high = ctx.range
        outside = ((x > high) & (gradient < 0)) | ((x < low) & (gradient > 0))
        return gradient.masked_fill(outside, 0.0), None, None
