"""Symbols and loss of training: quantise like the encoder, sum bits and distortion.

    true subbands ─┐
    predicted mean ┴─ residual ─ quantiser ─▶ symbols ─▶ next pass
                         │         └─ −log2 P(symbol | scale) ─▶ gradient of the scale
                         └─ −log2 P(residual + noise | mean), (error / step)² ─▶ of the mean

The symbols are hard, so the network trains on the values that it sees in coding. A hard symbol has
no gradient with respect to the mean. Uniform noise instead of rounding gives one (Ballé et al.
2017). The distortion adds its exact derivative with the symbol held fixed.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from deepstd.coding.tables import scale_of_index
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.networks.context import Prediction
from deepstd.texture.networks.quantizer import quantize
from deepstd.texture.tiling import Region

_UNIT_SCALE_INDEX = 20.0  # index of scale 1
INDICES_IN_OCTAVE = 4.0
"""Scale indices in an octave."""
_DEAD_ZONE = 0.12  # steps by which the quantiser rounds towards zero, on average


def logistic_bits(magnitude: torch.Tensor, scale: torch.Tensor, shift: float) -> torch.Tensor:
    """Return −log2 of the logistic mass between |m| − 1/2 + shift and |m| + 1/2 + shift.

    Args:
        magnitude: |m| ≥ 0, in steps.
        scale: logistic scale, in steps.
        shift: shift of the interval, in steps.
    """
    near, far = (magnitude - 0.5 + shift) / scale, (magnitude + 0.5 + shift) / scale
    log_mass = (
        -near
        + torch.log(-torch.expm1(-1.0 / scale))
        - functional.softplus(-near)
        - functional.softplus(-far)
    )
    return log_mass * (-1.0 / math.log(2.0))


def symbol_bits(magnitude: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the bits of hard symbols of a dead-zone quantiser.

    Args:
        magnitude: absolute values of the symbols.
        scale: logistic scale, in steps.
    """
    zero = torch.log1p(-2.0 * torch.sigmoid(-(0.5 + _DEAD_ZONE) / scale) + 1e-9)
    other = logistic_bits(magnitude.clamp(min=1.0), scale, _DEAD_ZONE)
    return torch.where(magnitude == 0, zero * (-1.0 / math.log(2.0)), other)


class TrainingSource:
    """Symbols of known subbands, and the loss of coding them.

    Args:
        last_low: true coarsest low-pass band in 1/64 step, (B, 1, …).
        highs: true high-pass subbands of each level in 1/64 step, finest first.
        savings: float32 (64, 26), bits that the next smaller magnitude saves, by scale index.
        rate_weight: λ of the quantiser, squared steps a bit.
        generator: source of the noise.
    """

    def __init__(
        self,
        last_low: torch.Tensor,
        highs: list[torch.Tensor],
        savings: torch.Tensor,
        rate_weight: float,
        generator: torch.Generator,
    ) -> None:
        self._last_low, self._highs = last_low, highs
        self._savings, self._rate_weight = savings, rate_weight
        self._generator = generator
        self._target = last_low
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        # Residuals, symbols and scale indices of each pass, (B, n).
        self._coded: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    @property
    def coders(self) -> tuple[()]:
        """Coders of the native engine: none, as training needs gradients."""
        return ()

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """Return the rounded low-pass band; its few bits do not depend on the network."""
        residual = (self._last_low - prediction) / UNITS_PER_STEP
        return prediction + UNITS_PER_STEP * torch.floor(residual + 0.5)

    def begin_tile(self, level: int, region: Region) -> None:
        """Select the subbands of a tile."""
        self._target = self._highs[level][(..., *region)]

    def residuals(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """Quantise the coefficients of a pass and record them for `bits_and_distortion`.

        Args:
            mean: predicted means in 1/64 step.
            prediction: entropy model's output for the tile.
            coded: True where the pass codes a coefficient.

        Returns:
            Quantised residuals in 1/64 step, zero where the pass codes nothing.
        """
        places = coded.flatten().nonzero()[:, 0]

        def chosen(x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).index_select(1, places)

        scale_index = chosen(prediction.scale)
        residual = (chosen(self._target) - chosen(mean)) / UNITS_PER_STEP
        symbols = quantize(
            residual.detach(), scale_index.detach(), self._savings, self._rate_weight
        )
        self._coded.append((residual, symbols, scale_index))
        if self.seen is not None:
            self.seen.append((residual.detach().flatten(), scale_index.detach().flatten()))
        if self._target.requires_grad:
            # Straight-through gradient, for the network that made the target.
            target = chosen(self._target) / UNITS_PER_STEP
            symbols = symbols + (target - target.detach())
        units = UNITS_PER_STEP * symbols
        placed = torch.zeros_like(self._target).flatten(1).index_copy_(1, places, units)
        return placed.reshape(self._target.shape)

    def bits_and_distortion(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum rate and distortion over all passes, for each crop of the batch.

        Returns:
            Bits of the hard symbols and squared errors of the coefficients in steps, both (B,) and
            differentiable.
        """
        if not self._coded:
            zeros = self._last_low.new_zeros(len(self._last_low))
            return zeros, zeros
        residual, symbols, scale_index = (torch.cat(p, 1) for p in zip(*self._coded, strict=True))
        scale = scale_of_index_tensor(scale_index)
        hard = symbol_bits(symbols.abs(), scale).sum(1)
        noise = torch.rand(residual.shape, generator=self._generator, device=residual.device)
        noisy = residual + noise.to(residual.dtype) - 0.5
        soft = logistic_bits(noisy.abs(), scale.detach().clamp(min=0.5), 0.0).sum(1)
        return hard + (soft - soft.detach()), (residual - symbols).square().sum(1)


def scale_of_index_tensor(index: torch.Tensor) -> torch.Tensor:
    """Return the logistic scale of a scale index, in symbols, with a gradient."""
    return torch.exp2((index - _UNIT_SCALE_INDEX) * (1.0 / INDICES_IN_OCTAVE)) * scale_of_index(20)
