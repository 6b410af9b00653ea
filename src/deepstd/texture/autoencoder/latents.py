"""Entropy model of the latents, and the loop that training, encoding and decoding share.

    hyper-latents ─ convolutions, upsample ─┐
    template's blocks, coordinates ─────────┴ hidden ┬─▶ mean, scale, gate   slice 0, half the grid
                                                     ├ + decoded latents ─▶   slice 0, the rest
                                                     └ + decoded latents ─▶   slice 1, 2 …

A channel-wise conditional entropy model (Minnen and Singh 2020), as in the paper: slices of
channels, lowest frequencies first, each conditioned on the slices before. All layers compute whole
numbers (`integer`). `context.LevelContext` predicts a slice as it predicts a pass of a wavelet
level. Symbols come from a `TensorSource`: level 0 are the latents, level 1 the hyper-latents.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from deepstd.coding.tables import SCALE_COUNT
from deepstd.texture.autoencoder.blocks import SLOPE, convolution
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.autoencoder.transform import (
    blocks_of,
    compressed,
    exact_transform,
    mixed,
    padded,
    whole_blocks,
)
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.entropy.integer import FEATURE_MAX, HIDDEN_MAX, LayerSize
from deepstd.texture.networks.conditioning import TensorHint
from deepstd.texture.networks.context import (
    LevelContext,
    Prediction,
    condition_vector,
    pass_of_position,
)
from deepstd.texture.networks.features import signed_log, upsample
from deepstd.texture.networks.integer import (
    ExactConv,
    clamp,
    relu,
    round_through,
)
from deepstd.texture.networks.levels import code_passes
from deepstd.texture.networks.runtime import Arithmetic
from deepstd.texture.networks.source import TensorSource

# Initial scale index of the hyper-latents.
_HYPER_SCALE = 24.0
# Fractions of a step in the features: dequantised hyper-latents remain whole numbers.
_HYPER_UNIT = 8
_HYPER_LIMIT = 127 * _HYPER_UNIT
_CHEQUERED = 2


class HyperAnalysis(nn.Module):
    """Analysis of latents to hyper-latents on half their grid, in floating point.

    Only the encoder uses it.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width = config.context_width // 2
        self.first = convolution(config.ndim, config.bands, width, 3)
        self.second = convolution(config.ndim, width, config.hyper_width, 3, stride=2)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Return hyper-latents (B, hyper_width, *half) of latents (B, bands, *grid) in steps."""
        hidden = functional.leaky_relu(self.first(compressed(latents)), SLOPE)
        return self.second(hidden)


class LatentModel(nn.Module):
    """Distribution of hyper-latents and latents, in whole numbers."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        ndim, width = config.ndim, 2 * config.hyper_width
        self.config = config
        self.hyper_scale = nn.Parameter(torch.full((config.hyper_width,), _HYPER_SCALE))
        self.first = ExactConv(ndim, LayerSize(config.hyper_width, width, 3, _HYPER_LIMIT))
        self.second = ExactConv(ndim, LayerSize(width, width, 3, HIDDEN_MAX))
        self.slices = LevelContext(config, config.context_width)

    def hyper_prediction(self, grid: Sequence[int], like: torch.Tensor) -> Prediction:
        """Return the distribution of the hyper-latents, with one scale for each channel.

        Args:
            grid: grid of the hyper-latents.
            like: tensor of batch size B, of the type and device of the values.
        """
        index = clamp(round_through(self.hyper_scale), 0, SCALE_COUNT - 1).to(like)
        shape = (len(like), self.config.hyper_width, *grid)
        scale = index.reshape(1, -1, *[1] * len(grid)).expand(shape)
        return Prediction(like.new_zeros(shape), scale, None)

    def hyper_features(self, units: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
        """Return features on the grid of the latents, (B, 2 hyper_width, *grid), −127 … 127.

        Args:
            units: hyper-latents in 1/64 step, (B, hyper_width, *half).
            grid: grid of the latents.
        """
        x = clamp(units * (_HYPER_UNIT / UNITS_PER_STEP), -_HYPER_LIMIT, _HYPER_LIMIT)
        x = clamp(self.second(relu(self.first(x))), -FEATURE_MAX, FEATURE_MAX)
        return upsample(x, range(len(grid)), [slice(0, n) for n in grid])


def code_latents(
    model: LatentModel,
    grid: Sequence[int],
    log_rates: Sequence[int],
    hint: TensorHint | None,
    source: TensorSource,
    arithmetic: Arithmetic,
) -> torch.Tensor:
    """Code hyper-latents and latents; return the latents in 1/64 step, (B, bands, *grid).

    Args:
        model: entropy model.
        grid: grid of the latents.
        log_rates: 32 log2(range / step), rounded, of each scan of the batch.
        hint: prediction of the latents, (B, bands, *grid), or None.
        source: source of the symbols.
        arithmetic: device and number types of the computation.
    """
    config, device, dtype = model.config, arithmetic.device, arithmetic.dtype
    network_dtype = arithmetic.network_dtype
    batch = len(log_rates)
    half = tuple(-(-n // 2) for n in grid)
    like = torch.zeros((batch, 1), dtype=dtype, device=device)
    source.begin_tile(1, tuple(slice(0, n) for n in half))
    prediction = model.hyper_prediction(half, like)
    everywhere = torch.ones((1, config.hyper_width, *half), dtype=torch.bool, device=device)
    hyper = source.residuals(prediction.mean, prediction, everywhere)
    features = [model.hyper_features(hyper.to(network_dtype), grid)]
    template = None
    if hint is not None:
        template = hint.units
        features += [signed_log(template).to(network_dtype), hint.places.to(network_dtype)]
    axes = tuple(range(config.ndim))
    condition = torch.cat([condition_vector(config, rate, axes, 0) for rate in log_rates])
    hidden = model.slices.hidden(
        torch.cat(features, 1), condition.to(device=device, dtype=network_dtype)
    )
    source.begin_tile(0, tuple(slice(0, n) for n in grid))
    order = _pass_of_latent(config, tuple(grid), device)
    everywhere = torch.ones((config.bands, *grid), dtype=torch.bool, device=device)
    return code_passes(model.slices, hidden, template, everywhere, order, source, dtype)


def padded_hint(hint: TensorHint, config: AutoencoderConfig) -> TensorHint:
    """Pad the prediction of the voxels to whole blocks, (B, 1, *whole blocks)."""
    return TensorHint(padded(hint.units, config.stride), padded(hint.places, config.stride))


def hint_of_latents(hint: TensorHint, config: AutoencoderConfig) -> TensorHint:
    """Predict the latents: the exact DCT of all blocks, and the coordinates of their first voxels.

    Args:
        hint: prediction of the voxels, (B, 1, *whole blocks).
        config: sizes of the networks.

    Returns:
        (B, bands, *grid) whole numbers in 1/64 step (float64).
    """
    matrix = exact_transform(config.ndim, config.stride).to(hint.units.device)
    blocks = blocks_of(hint.units, config.stride).to(torch.float64)
    places = hint.places[(..., *[slice(None, None, config.stride)] * config.ndim)]
    return TensorHint(torch.floor(mixed(blocks, matrix)), places)


def latent_grid(config: AutoencoderConfig, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the grid of a scan's latents."""
    return whole_blocks(shape, config.stride)


def _pass_of_latent(
    config: AutoencoderConfig, grid: tuple[int, ...], device: torch.device | str
) -> torch.Tensor:
    """Return the pass in which each latent is coded, (1, bands, *grid)."""
    slices = torch.tensor(config.slices, device=device).reshape(1, -1, *[1] * len(grid))
    parity = pass_of_position(grid, _CHEQUERED, torch.device(device))
    return torch.where(slices == 0, parity, slices + 1)


def in_steps(units: torch.Tensor) -> torch.Tensor:
    """Convert latents from 1/64 step to steps (float32)."""
    return units.float() * (1.0 / UNITS_PER_STEP)
