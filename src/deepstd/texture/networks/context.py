"""Context model in torch: the trainable version of `entropy.context`, with the same integers.

    features ─ four convs ─▶ hidden ─ mix ─ head ─▶ mean, scale index (, gate), pass by pass

Training runs it with gradients. GPUs run it for the coder (`placed`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from deepstd.coding.tables import SCALE_COUNT
from deepstd.texture.entropy import context
from deepstd.texture.entropy.context import (
    CENTRE_INDEX,
    GATE_ONE,
    ContextConfig,
    PredictorConfig,
    layer_sizes,
)
from deepstd.texture.entropy.integer import OUTPUT_MAX
from deepstd.texture.networks.integer import ExactConv, clamp, relu, round_through
from deepstd.texture.tiling import Sides, without_margin

# Factors on the initial weights, of layers with another one than the trunk's.
_GAIN, _GAINS = 1.3, {"fourth": 0.0, "head": 0.2, "first_condition": 1.0, "second_condition": 1.0}


class Prediction(NamedTuple):
    """Distribution of the high subbands (`entropy.context.Prediction`), as tensors.

    Attributes:
        mean: predicted mean in sixteenths of a step, without the share of the template.
        scale: scale index.
        gate: share of the template's subbands to add to the mean, in sixteenths; None without a
            template.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    gate: torch.Tensor | None


def pass_of_position(grid: tuple[int, ...], passes: int, device: torch.device) -> torch.Tensor:
    """Return the pass in which each position of a grid is coded, (1, 1, *grid)."""
    return torch.from_numpy(context.pass_of_position(grid, passes)).to(device)


def condition_vector(
    config: PredictorConfig, log_rate: int, axes: tuple[int, ...], depth: int
) -> torch.Tensor:
    """Return the condition vector of a level (`entropy.context.condition_vector`) as a tensor."""
    return torch.from_numpy(context.condition_vector(config, log_rate, axes, depth))


class LevelContext(nn.Module):
    """Context model of one wavelet level, or of latents (diagram of the module)."""

    def __init__(self, config: PredictorConfig, width: int) -> None:
        super().__init__()
        self._config = config
        layers = {
            name: ExactConv(config.ndim, size, gain=_GAINS.get(name.partition(".")[0], _GAIN))
            for name, size in layer_sizes(config, width).items()
        }
        self.first, self.first_condition = layers["first"], layers["first_condition"]
        self.second, self.second_condition = layers["second"], layers["second_condition"]
        self.third, self.fourth = layers["third"], layers["fourth"]
        passes = range(config.passes)
        self.known = nn.ModuleList(layers[f"known.{later}"] for later in passes[:-1])
        self.mix = nn.ModuleList(layers[f"mix.{index}"] for index in passes)
        self.head = nn.ModuleList(layers[f"head.{index}"] for index in passes)

    @property
    def has_template(self) -> bool:
        """True where template features are among the inputs."""
        return self._config.template

    def hidden(
        self, features: torch.Tensor, condition: torch.Tensor, borders: Sides | None = None
    ) -> torch.Tensor:
        """Compute the hidden activations, which depend on ``HALO`` positions around each.

        Args:
            features: input features, (B, features, *grid).
            condition: condition vector, (1 or B, conditions, 1 …).
            borders: for each axis, whether the features begin and end where the level does; None
                for all. On other sides a margin of ``HALO`` positions is lost.

        Returns:
            (B, width, *grid), without the margins.
        """
        x = relu(self.first(features, borders) + self.first_condition(condition))
        y = self.second(x, borders) + self.second_condition(condition)
        x = relu(y + without_margin(x, borders, 1))
        y = self.fourth(relu(self.third(x, borders)), borders)
        return relu(y + without_margin(x, borders, 2))

    def predict(self, index: int, hidden: torch.Tensor, known: torch.Tensor) -> Prediction:
        """Predict the distribution in a pass.

        Args:
            index: number of the pass.
            hidden: hidden activations, (B, width, *grid).
            known: features of the coefficients decoded before, zero elsewhere, (B, bands, *grid).
        """
        x = hidden if index == 0 else relu(self.known[index - 1](known) + hidden)
        x = relu(self.mix[index](x) + x)
        parts = self.head[index](x).chunk(3 if self._config.template else 2, dim=1)
        scale = round_through(parts[1], 0.5) + CENTRE_INDEX
        gate = None
        if self._config.template:
            gate = clamp(round_through(parts[2], 0.5) + GATE_ONE // 2, 0, GATE_ONE)
        mean = parts[0].clamp(-OUTPUT_MAX, OUTPUT_MAX)
        return Prediction(mean, clamp(scale, 0, SCALE_COUNT - 1), gate)


class ContextModel(nn.Module):
    """Context models of all levels."""

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList(LevelContext(config, width) for width in config.widths)

    def level(self, index: int) -> tuple[LevelContext, int]:
        """Return the model of a level (0: finest) and the level's depth beyond the last model."""
        last = len(self.levels) - 1
        model = self.levels[min(index, last)]
        if not isinstance(model, LevelContext):
            raise TypeError("levels hold LevelContext modules only")
        return model, max(0, index - last)
