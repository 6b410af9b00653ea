"""Rate and distortion of a batch of training crops, coded like in an encoder.

    crops, steps ─┬ wavelet ─ level loop (TrainingSource) ─▶ bits, distortion ─ post-filter ─▶ error
                  └ analysis ─ latents (TrainingSource) ─▶ bits ─ synthesis ─▶ error
    bits, distortion, error ─▶ loss

Each crop's bits are weighted by the inverse of its bit rate. The post-filter's loss is the
logarithm of its error. So low and high rates count equally. The autoencoder learns transform and
entropy model together; its error has the quantiser's weight against bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from deepstd.texture.autoencoder.latents import (
    code_latents,
    hint_of_latents,
    in_steps,
    latent_grid,
    padded_hint,
)
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.transform import padded
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.networks.conditioning import TensorHint, tensor_hint
from deepstd.texture.networks.context import condition_vector
from deepstd.texture.networks.levels import ScanBatch, code_levels
from deepstd.texture.networks.lifting import decompose
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.networks.runtime import Arithmetic
from deepstd.texture.scaling import log_rate
from deepstd.texture.trainable import Trainable
from deepstd.texture.wavelet.lifting import Plan, split_plan
from deepstd.train.data import Example
from deepstd.train.source import TrainingSource

_DISTORTION_WEIGHT = 2.0  # bits that a squared step of the coefficients counts as
_RATE_FLOOR = 0.03  # bits a voxel; bounds the weight of nearly empty crops
Seen = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Coded:
    """Rate and distortion of a batch of crops.

    Attributes:
        bits: (B,) bits of the symbols a voxel.
        error: (B,) mean squared error of the restored crop in steps; where levels were left out,
            the distortion of the coefficients instead.
        loss: (B,) training loss, differentiable.
        low: reconstruction before the post-filter, or quantised latents, in 1/64 step.
    """

    bits: torch.Tensor
    error: torch.Tensor
    loss: torch.Tensor
    low: torch.Tensor


def code_batch(
    network: Trainable,
    examples: list[Example],
    step_codes: list[int],
    rate_weight: float,
    generator: torch.Generator,
    *,
    last_level: int = 0,
    seen: Seen | None = None,
) -> Coded:
    """Code examples of equal shape and voxel proportions with hard symbols.

    Args:
        network: wavelet network or autoencoder.
        examples: B examples.
        step_codes: log2(range / step) of each example, times `STEPS_PER_OCTAVE`.
        rate_weight: λ of the quantiser, squared steps a bit.
        generator: source of the noise that replaces rounding in gradients.
        last_level: finest level of the wavelet to code; above 0 the post-filter is left out. At
            least one level is coded, if there is any.
        seen: list that collects residuals in steps and scale indices, or None.
    """
    return code(
        network,
        batch_of(examples, step_codes),
        examples[0].coarse,
        rate_weight,
        generator,
        last_level=last_level,
        seen=seen,
    )


@dataclass(frozen=True)
class Batch:
    """Crops to code with their conditioning.

    Attributes:
        units: (B, 1, *shape) grey values in 1/64 step.
        hint: prediction from a warped template or from reference slices, or None.
        rates: 32 log2(range / step) of each crop, a condition of the entropy model.
    """

    units: torch.Tensor
    hint: TensorHint | None
    rates: list[int]


def batch_of(examples: list[Example], step_codes: list[int]) -> Batch:
    """Return examples of equal shape in 1/64 step, with the warped template.

    Args:
        examples: B examples.
        step_codes: log2(range / step) of each example, times `STEPS_PER_OCTAVE`.
    """
    units = torch.cat(
        [
            example.values * (UNITS_PER_STEP / example.scaling.step(code))
            for example, code in zip(examples, step_codes, strict=True)
        ]
    )
    hint = _hint_of(examples, step_codes)
    return Batch(units, hint, [log_rate(code) for code in step_codes])


def code(
    network: Trainable,
    batch: Batch,
    coarse: tuple[int, ...],
    rate_weight: float,
    generator: torch.Generator,
    *,
    last_level: int = 0,
    seen: Seen | None = None,
) -> Coded:
    """Code a batch with hard symbols; the arguments are those of `code_units`."""
    if isinstance(network, AutoencoderNetwork):
        return _through_autoencoder(network, batch, rate_weight, generator, seen)
    return code_units(
        network, batch, coarse, rate_weight, generator, last_level=last_level, seen=seen
    )


def _hint_of(examples: list[Example], step_codes: list[int]) -> TensorHint | None:
    hints = []
    for example, code in zip(examples, step_codes, strict=True):
        hint = tensor_hint(example.conditioning, code)
        if hint is None:
            return None
        hints.append(hint)
    units, places = (torch.cat(parts).float() for parts in zip(*hints, strict=True))
    return TensorHint(units, places)


def weights(bits: torch.Tensor) -> torch.Tensor:
    """Return the weights of crops of given bits a voxel, so that all rates count equally."""
    return 1.0 / (bits.detach() + _RATE_FLOOR)


def code_units(
    network: TextureNetwork,
    batch: Batch,
    coarse: tuple[int, ...],
    rate_weight: float,
    generator: torch.Generator,
    *,
    last_level: int = 0,
    seen: Seen | None = None,
) -> Coded:
    """Code a batch through the wavelet network with hard symbols.

    Args:
        network: wavelet network.
        batch: crops in 1/64 step with their conditioning.
        coarse: relative spacing codes of the voxels, in half octaves.
        rate_weight: λ of the quantiser, squared steps a bit.
        generator: source of the noise that replaces rounding in gradients.
        last_level: finest level to code; above 0 the post-filter is left out.
        seen: list that collects residuals in steps and scale indices, or None.
    """
    units, device = batch.units, batch.units.device
    shape = tuple(units.shape[2:])
    plan = split_plan(shape, coarse)
    lows, highs = decompose(units, plan)
    savings = torch.from_numpy(symbol_savings(network.tables)).to(device)
    last_low = lows[-1] if lows else units
    source = TrainingSource(last_low, highs, savings, rate_weight, generator)
    source.seen = seen
    last_level = min(last_level, max(len(plan) - 1, 0))
    scans = ScanBatch(shape, plan, batch.rates, batch.hint)
    arithmetic = Arithmetic(device, dtype=torch.float32)
    low = code_levels(network.context, scans, source, arithmetic, last_level=last_level)
    count = math.prod(shape)
    bits, distortion = (total / count for total in source.bits_and_distortion())
    loss = weights(bits) * (bits + _DISTORTION_WEIGHT * distortion)
    if last_level:
        return Coded(bits, distortion.detach(), loss, low)
    restored = restored_by(network, low, batch, plan)
    error = (restored - units * (1.0 / UNITS_PER_STEP)).square().flatten(1).mean(1)
    return Coded(bits, error, loss + torch.log(error + 1e-6), low)


def restored_by(
    network: TextureNetwork, low: torch.Tensor, batch: Batch, plan: Plan
) -> torch.Tensor:
    """Return reconstructions after the post-filter, (B, 1, *shape) in steps.

    Args:
        network: network with the post-filter.
        low: reconstructions in 1/64 step.
        batch: crops that were coded.
        plan: axes that each level of the wavelet splits.
    """
    axes = plan[0] if plan else ()
    config = network.context.config
    condition = torch.cat([condition_vector(config, rate, axes, 0) for rate in batch.rates])
    template = None if batch.hint is None else batch.hint.units
    return network.postfilter(low, template, condition.to(low.device))


def _through_autoencoder(
    network: AutoencoderNetwork,
    batch: Batch,
    rate_weight: float,
    generator: torch.Generator,
    seen: Seen | None,
) -> Coded:
    config, device = network.config, batch.units.device
    shape = tuple(batch.units.shape[2:])
    axes = tuple(range(config.ndim))
    condition = torch.cat([condition_vector(config, rate, axes, 0) for rate in batch.rates])
    condition = condition.to(device)
    truth = padded(batch.units, config.stride) * (1.0 / UNITS_PER_STEP)
    hint = blocks = None
    if batch.hint is not None:
        hint = padded_hint(batch.hint, config)
        exact = hint_of_latents(hint, config)
        blocks = TensorHint(exact.units.float(), exact.places)
    latents = network.analysis(truth, hint, condition)
    hyper = network.hyper_analysis(latents)
    targets = [latents * UNITS_PER_STEP, hyper * UNITS_PER_STEP]
    savings = torch.from_numpy(symbol_savings(network.tables)).to(device)
    source = TrainingSource(batch.units, targets, savings, rate_weight, generator)
    source.seen = seen
    coded = code_latents(
        network.latents,
        latent_grid(config, shape),
        batch.rates,
        blocks,
        source,
        Arithmetic(device, dtype=torch.float32),
    )
    restored = network.synthesis(in_steps(coded), hint, condition)
    inside = (..., *(slice(0, n) for n in shape))
    error = (restored[inside] - truth[inside]).square().flatten(1).mean(1)
    count = math.prod(shape)
    bits, distortion = (total / count for total in source.bits_and_distortion())
    # The error of the latents trains the predicted means; it agrees with the restored scan's.
    loss = weights(bits) * (bits + error / rate_weight + _DISTORTION_WEIGHT * distortion)
    return Coded(bits, error, loss, coded)
