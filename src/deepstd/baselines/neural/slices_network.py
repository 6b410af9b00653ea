"""Network of slices: transforms of transformers and convolutions, and their entropy model.

    values ─ analysis ─▶ latents ┬ less mean ─ symbols ─▶ latents ─ synthesis ─▶ restored values
                                 └ hyper-analysis ─ symbols ─▶ features ─▶ mean, scale
    decoded channels, lowest frequencies first ─────────────────▲

A short own implementation of TCM (Liu et al., CVPR 2023), far smaller than theirs: two blocks a
stage, six slices of channels, no attention in the entropy model. Analysis and synthesis are those
of the project's autoencoder without a template. Their linear path begins as a DCT of 8 × 8 blocks
and their correction as zero. So a training of minutes begins from a working transform codec.

Values and latents are in quantisation steps. The networks are conditioned on the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepstd.baselines.neural.symbols import Source
from deepstd.coding.tables import SCALE_COUNT, parametric_tables
from deepstd.texture.autoencoder.blocks import SLOPE, convolution, zero_convolution
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.autoencoder.transform import (
    Analysis,
    Synthesis,
    compressed,
    whole_blocks,
)
from deepstd.texture.entropy.context import CONDITION_UNIT, RATE_BINS, condition_vector
from deepstd.texture.networks.integer import clamp, round_through

# Logistic scale of the lowest frequency, relative to the range, and its fall with the frequency.
_LOWEST_SCALE, _FALL = 0.6, 1.5
# Scale index of scale 1, and scale indices an octave.
_UNIT_INDEX, _OCTAVE = 20.0, 4.0
# log2(range / step) of the rate bins.
_OCTAVES = torch.arange(RATE_BINS) - 2.0
# Depth in the condition vector that stands for what a prediction leaves.
_PREDICTED = 4
# Hyper-latents a mean of lowest frequencies, when training begins.
_HYPER_GAIN = 0.5


class Frames(NamedTuple):
    """Frames of equal rate to code.

    Attributes:
        grid: grid of their latents.
        condition: condition vector, (1, conditions, 1, 1), whole numbers 0 … 32.
        batch: number of frames.
    """

    grid: tuple[int, int]
    condition: torch.Tensor
    batch: int


def frames_of(
    config: AutoencoderConfig,
    knob: float,
    shape: Sequence[int],
    *,
    batch: int,
    predicted: bool = False,
) -> Frames:
    """Return the description of frames.

    Args:
        config: sizes of the networks.
        knob: log2(range / step).
        shape: rows and columns of a frame.
        batch: number of frames.
        predicted: whether the values are what a prediction leaves.
    """
    rows, columns = whole_blocks(shape, config.stride)
    depth = _PREDICTED if predicted else 0
    vector = condition_vector(config, round(CONDITION_UNIT * knob), (0, 1), depth)
    return Frames((rows, columns), torch.from_numpy(vector), batch)


class RateIndex(nn.Module):
    """Scale indices of channels as a function of the rate.

    Args:
        config: sizes of the networks.
        scales: logistic scale of each channel when training begins, for a step of the range.
        growth: octaves that scales grow by with every octave of 1 / step.
    """

    def __init__(self, config: AutoencoderConfig, scales: np.ndarray, growth: float = 1.0) -> None:
        super().__init__()
        self.layer = nn.Linear(config.conditions, len(scales))
        logs = torch.from_numpy(np.log2(scales)).float()[:, None] + growth * _OCTAVES
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.weight[:, :RATE_BINS] = _UNIT_INDEX + _OCTAVE * logs
            self.layer.bias.zero_()

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        """Return scale indices (B, channels, 1, 1), not yet whole."""
        return self.layer(condition.flatten(1) / CONDITION_UNIT)[..., None, None]


class RateGain(nn.Module):
    """Positive factor as a function of the rate.

    Args:
        config: sizes of the networks.
        gain: factor when training begins, for a step of the range.
        growth: octaves that it grows by with every octave of 1 / step.
    """

    def __init__(self, config: AutoencoderConfig, gain: float, growth: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(config.conditions, 1)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.weight[:, :RATE_BINS] = math.log2(gain) + growth * _OCTAVES
            self.layer.bias.zero_()

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        """Return the factor (B, 1, 1, 1)."""
        return torch.exp2(self.layer(condition.flatten(1) / CONDITION_UNIT))[..., None, None]


def whole_index(index: torch.Tensor) -> torch.Tensor:
    """Round scale indices and clip them to the tables; gradients pass."""
    return clamp(round_through(index), 0, SCALE_COUNT - 1)


class LatentModel(nn.Module):
    """Entropy model: hyper-latents, then slices of channels that know the slices before."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width, hyper = config.context_width, config.hyper_width
        counts = np.bincount(config.slices).tolist()
        ends = np.cumsum([0, *counts]).tolist()
        self._slices = list(pairwise(ends))
        self.down = convolution(2, config.bands, width, 3)
        self.hyper_exit = convolution(2, width, hyper, 3, stride=2)
        self.hyper_gain = RateGain(config, _HYPER_GAIN)
        self.hyper_index = RateIndex(config, np.full(hyper, _LOWEST_SCALE * _HYPER_GAIN))
        self.hyper_entry = convolution(2, hyper, width, 3)
        self.up = convolution(2, width, width, 3)
        frequencies = np.sort([sum(divmod(n, config.stride)) for n in range(config.bands)])
        self.index = RateIndex(config, _LOWEST_SCALE / (1.0 + frequencies) ** _FALL)
        self.condition = nn.Linear(config.conditions, width)
        self.known = nn.ModuleList(convolution(2, b, width, 3) for _, b in self._slices[:-1])
        self.mix = nn.ModuleList(convolution(2, width, width, 1) for _ in self._slices)
        self.head = nn.ModuleList(zero_convolution(2, width, 2 * (b - a)) for a, b in self._slices)
        for parameter in self.hyper_exit.parameters():
            nn.init.zeros_(parameter)

    def forward(self, latents: torch.Tensor | None, frames: Frames, source: Source) -> torch.Tensor:
        """Code latents; return them dequantised, (B, bands, *grid).

        Args:
            latents: latents in steps, or None in a decoder.
            frames: grid, rate and number of the frames.
            source: source of the symbols.
        """
        features, lowest = self._hyper(latents, frames, source)
        priors = self.index(frames.condition)
        coded: list[torch.Tensor] = []
        for number, (begin, end) in enumerate(self._slices):
            x = features
            if coded:
                x = x + self.known[number - 1](compressed(torch.cat(coded, 1)))
            x = functional.leaky_relu(x, SLOPE)
            x = functional.leaky_relu(self.mix[number](x), SLOPE) + x
            mean, index = self.head[number](x).chunk(2, dim=1)
            if number == 0:
                mean = mean + lowest
            index = whole_index(index + priors[:, begin:end])
            target = None if latents is None else latents[:, begin:end]
            coded.append(source.code(target, mean, index))
        return torch.cat(coded, 1)

    def _hyper(
        self, latents: torch.Tensor | None, frames: Frames, source: Source
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Code the hyper-latents; return features and a mean of the lowest frequency."""
        flat = frames.condition.flatten(1) / CONDITION_UNIT
        gain = self.hyper_gain(frames.condition)
        grid = tuple(-(-n // 2) for n in frames.grid)
        target = None
        if latents is not None:
            x = functional.leaky_relu(self.down(compressed(latents)), SLOPE)
            target = self.hyper_exit(x)
            means = functional.avg_pool2d(
                latents[:, :1], 2, ceil_mode=True, count_include_pad=False
            )
            target = torch.cat([target[:, :1] + gain * means, target[:, 1:]], 1)
        index = self.hyper_index(frames.condition)
        shape = (frames.batch, index.shape[1], *grid)
        zeros = index.new_zeros(shape)
        coded = source.code(target, zeros, whole_index(index.expand(shape)))
        x = functional.leaky_relu(self.hyper_entry(compressed(coded)), SLOPE)
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.up(x) + self.condition(flat)[..., None, None]
        lowest = functional.interpolate(coded[:, :1] / gain, scale_factor=2.0, mode="bilinear")
        inside = (..., *(slice(0, n) for n in frames.grid))
        return x[inside], lowest[inside]


class SliceNetwork(nn.Module):
    """Codec of values in steps: analysis, entropy model, synthesis.

    Attributes:
        config: sizes.
        tables: frequency tables of the symbols.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.latents = LatentModel(config)
        self.tables = parametric_tables()

    def code(self, values: torch.Tensor | None, frames: Frames, source: Source) -> torch.Tensor:
        """Code values in steps, (B, 1, *whole blocks); return the dequantised latents."""
        latents = None if values is None else self.analysis(values, None, frames.condition)
        return self.latents(latents, frames, source)

    def restore(self, latents: torch.Tensor, frames: Frames) -> torch.Tensor:
        """Return the values in steps, (B, 1, *whole blocks), of dequantised latents."""
        return self.synthesis(latents, None, frames.condition)
