"""Retention: a loss that keeps a network as it was while it learns from new scans.

    scans of earlier training ─ code ─▶ loss, as in training                      (replay)
    synthetic scans ─┬ old network ─▶ coefficients, means, scales, restored ─┐
                     └ new network, given the same coefficients ─────────────┴▶ divergence

Without the scans of earlier training, the old network is the teacher (Hinton et al. 2015,
distillation; Li & Hoiem 2018, learning without forgetting). The divergence is in bits that coding
takes more where the new network's distributions replace those of the old one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.networks.context import Prediction
from deepstd.texture.networks.levels import ScanBatch, code_levels
from deepstd.texture.networks.lifting import decompose
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.networks.runtime import Arithmetic
from deepstd.texture.tiling import Region
from deepstd.texture.trainable import Trainable
from deepstd.texture.wavelet.lifting import split_plan
from deepstd.train.coding import Batch, code, restored_by, weights
from deepstd.train.data import Example
from deepstd.train.source import INDICES_IN_OCTAVE, TrainingSource, scale_of_index_tensor

# Divergence counts so much more than the bits of new scans, as synthetic scans show only a part of
# what the network forgets.
_DIVERGENCE_WEIGHT = 4.0
_LOGISTIC_VARIANCE = math.pi**2 / 3  # of scale 1
_ROUNDING_VARIANCE = 1 / 12  # of a symbol, squared steps
# Fisher information of the logarithm of a logistic scale, in squared nats.
_SCALE_INFORMATION = (3 + math.pi**2) / 9


@dataclass(frozen=True)
class Retention:
    """Examples of what a network could do before, and the loss that keeps it.

    Attributes:
        before: network at the start of the run, on the device of the examples.
        examples: training examples of earlier scans, or synthetic ones.
        is_replay: True for scans of earlier training, which are learned as the new ones.
    """

    before: Trainable
    examples: list[Example]
    is_replay: bool

    def loss(
        self,
        network: Trainable,
        batch: Batch,
        coarse: tuple[int, ...],
        rate_weight: float,
        generator: torch.Generator,
        last_level: int,
    ) -> torch.Tensor:
        """Return the loss of a batch of `examples`, a scalar with gradient.

        Args:
            network: network in training.
            batch: crops of the examples.
            coarse: relative spacing codes of their voxels.
            rate_weight: λ of the quantiser, squared steps a bit.
            generator: source of the noise that replaces rounding in gradients.
            last_level: finest level to code; above 0 the post-filter is left out.
        """
        if self.is_replay:
            coded = code(network, batch, coarse, rate_weight, generator, last_level=last_level)
            return coded.loss.mean()
        if not isinstance(self.before, TextureNetwork) or not isinstance(network, TextureNetwork):
            raise TypeError("autoencoders keep what they could do by replay only")
        args = batch, coarse, rate_weight, generator, last_level
        return _DIVERGENCE_WEIGHT * divergence(self.before, network, *args)


def divergence(
    before: TextureNetwork,
    after: TextureNetwork,
    batch: Batch,
    coarse: tuple[int, ...],
    rate_weight: float,
    generator: torch.Generator,
    last_level: int,
) -> torch.Tensor:
    """Return how far the distributions and the post-filter of a network are from another's.

    Args:
        before: network that chooses the coefficients.
        after: network to compare, of equal sizes.
        batch: crops to code.
        coarse: relative spacing codes of their voxels.
        rate_weight: λ of the quantiser, squared steps a bit.
        generator: source of noise.
        last_level: finest level to code; above 0 post-filters are left out.

    Returns:
        Mean over the crops of the relative increase in bits, plus the squared difference of
        restored values relative to the error, with a gradient for ``after``.
    """
    units, device = batch.units, batch.units.device
    shape = tuple(units.shape[2:])
    plan = split_plan(shape, coarse)
    lows, highs = decompose(units, plan)
    last_low = lows[-1] if lows else units
    last_level = min(last_level, max(len(plan) - 1, 0))
    scans = ScanBatch(shape, plan, batch.rates, batch.hint)
    arithmetic = Arithmetic(device, dtype=torch.float32)
    savings = torch.from_numpy(symbol_savings(before.tables)).to(device)
    with torch.no_grad():
        taught = _Teacher(last_low, highs, savings, rate_weight, generator)
        low = code_levels(before.context, scans, taught, arithmetic, last_level=last_level)
        bits = taught.bits_and_distortion()[0] / math.prod(shape)
    follower = _Follower(taught)
    code_levels(after.context, scans, follower, arithmetic, last_level=last_level)
    loss = (weights(bits) * follower.bits() / math.prod(shape)).mean()
    if last_level:
        return loss
    truth = units * (1.0 / UNITS_PER_STEP)
    with torch.no_grad():
        old = restored_by(before, low, batch, plan)
        error = (old - truth).square().flatten(1).mean(1)
    changed = (restored_by(after, low, batch, plan) - old).square().flatten(1).mean(1)
    return loss + (changed / (error + 1e-6)).mean()


class _Pass(NamedTuple):
    """Pass of the old network: its means and scale indices, (B, n), and decoded values."""

    mean: torch.Tensor
    scale: torch.Tensor
    values: torch.Tensor


class _Teacher(TrainingSource):
    """Source of the old network, which notes its predictions and coefficients."""

    def __init__(
        self,
        last_low: torch.Tensor,
        highs: list[torch.Tensor],
        savings: torch.Tensor,
        rate_weight: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(last_low, highs, savings, rate_weight, generator)
        self.passes: list[_Pass] = []

    def residuals(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        found = super().residuals(mean, prediction, coded)
        chosen = _Chosen(coded)
        self.passes.append(_Pass(chosen(mean), chosen(prediction.scale), mean + found))
        return found


class _Follower:
    """Source that gives a network the coefficients of the old one, and compares predictions."""

    def __init__(self, teacher: _Teacher) -> None:
        self._teacher = teacher
        self._passes = iter(teacher.passes)
        self._bits: list[torch.Tensor] = []

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """Return the rounded low-pass band, which does not depend on the network."""
        return self._teacher.last_low(prediction)

    def begin_tile(self, level: int, region: Region) -> None:
        """Do nothing: the passes come in the order of the old network."""

    def residuals(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """Compare the predictions of a pass; return residuals to the old network's values."""
        old, chosen = next(self._passes), _Chosen(coded)
        shift = (chosen(mean) - old.mean) * (1.0 / UNITS_PER_STEP)
        octaves = (chosen(prediction.scale) - old.scale) * (1.0 / INDICES_IN_OCTAVE)
        variance = _LOGISTIC_VARIANCE * scale_of_index_tensor(old.scale).square()
        certain = variance + _ROUNDING_VARIANCE
        # Where rounding hides the distribution, its scale matters little.
        by_scale = _SCALE_INFORMATION * (math.log(2.0) * octaves).square() * variance / certain
        nats = 0.5 * (shift.square() / certain + by_scale)
        self._bits.append(nats.sum(1) * (1.0 / math.log(2.0)))
        return old.values - mean.detach()

    def bits(self) -> torch.Tensor:
        """Return the bits of the divergence of each crop, (B,)."""
        if not self._bits:
            return torch.zeros(1)
        return torch.stack(self._bits).sum(0)


class _Chosen:
    """Selection of the coefficients that a pass codes: (B, …) ─▶ (B, n)."""

    def __init__(self, coded: torch.Tensor) -> None:
        self._places = coded.flatten().nonzero()[:, 0]

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        return values.flatten(1).index_select(1, self._places)
