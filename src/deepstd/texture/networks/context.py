"""Context model: distribution of the next coefficients, given the decoded coefficients.

    features ─ four convs ─▶ hidden ┬─ mix ─ head ─▶ mean, scale index (, gate)   pass 0
                                     ├─ + conv(already decoded positions) ─ … ─▶   pass 1
                                     └─ …

One `LevelContext` serves one wavelet level; levels coarser than the last share its weights. The
high subbands of a level are coded in interleaved passes (2 in 3-D, 3 in 2-D): the positions of one
pass are independent given the passes before. Every layer computes whole numbers (`integer`), so
encoder and decoder agree on every machine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

import torch
from torch import nn

from deepstd.coding.tables import SCALE_COUNT
from deepstd.texture.networks.integer import (
    FEATURE_MAX,
    HIDDEN_MAX,
    OUTPUT_MAX,
    ExactConv,
    clamp,
    relu,
    round_through,
)
from deepstd.texture.tiling import Sides, without_margin

RATE_BINS = 11
"""Bins of the linear one-hot code of log2(range / step), an octave apart."""
# log2(range / step) of the first bin.
_LOWEST_RATE = -2
CONDITION_UNIT = 32
"""Integer that stands for 1 in the condition vector."""
HALO = 4
"""Positions that an activation depends on, on either side."""
# Scale index at output 0, and gate of the whole template, in sixteenths.
_CENTRE_INDEX = 20
_GATE_ONE = 16


class PredictorConfig(Protocol):
    """Interface of the sizes that a `LevelContext` and its condition vector need."""

    @property
    def ndim(self) -> int:
        """2 or 3 spatial axes."""
        ...

    @property
    def template(self) -> bool:
        """True where template features are among the inputs."""
        ...

    @property
    def bands(self) -> int:
        """Number of predicted channels."""
        ...

    @property
    def passes(self) -> int:
        """Number of passes."""
        ...

    @property
    def features(self) -> int:
        """Number of input channels."""
        ...

    @property
    def conditions(self) -> int:
        """Length of the condition vector."""
        ...


@dataclass(frozen=True)
class ContextConfig:
    """Size of a context model.

    Attributes:
        ndim: 2 or 3 spatial axes.
        widths: hidden channels of each level, finest first; the last serves all coarser levels.
        template: whether template features are among the inputs.
    """

    ndim: int
    widths: tuple[int, ...]
    template: bool

    @property
    def bands(self) -> int:
        """Number of high subbands of a level."""
        return 2**self.ndim - 1

    @property
    def passes(self) -> int:
        """Number of interleaved passes of a level."""
        return 3 if self.ndim == 2 else 2

    @property
    def features(self) -> int:
        """Input channels: detail and parents; with a template its bands, residual, coordinates."""
        return 1 + self.bands + (self.bands + 1 + self.ndim if self.template else 0)

    @property
    def conditions(self) -> int:
        """Length of the condition vector: rate, split axes, depth beyond the last level."""
        return RATE_BINS + self.ndim + 1

    def to_dict(self) -> dict[str, object]:
        """Return the sizes as plain values for a bundle's description."""
        return asdict(self)


class Prediction(NamedTuple):
    """Distribution of the high subbands, in whole numbers (B, bands, *grid).

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
    axes = torch.meshgrid(*[torch.arange(n, device=device) for n in grid], indexing="ij")
    odd = torch.stack(axes).sum(0) % 2
    if passes == 2:
        return odd[None, None]
    first_even = axes[0] % 2 == 0
    return torch.where(odd == 1, 2, torch.where(first_even, 0, 1))[None, None]


def condition_vector(
    config: PredictorConfig, log_rate: int, axes: tuple[int, ...], depth: int
) -> torch.Tensor:
    """Return the condition vector of a level, (1, conditions, 1 …) whole numbers 0 … 32.

    Args:
        config: sizes of the model.
        log_rate: 32 log2(range / step), rounded.
        axes: axes that the level splits.
        depth: number of levels between this level and the last level with weights of its own.
    """
    reach = CONDITION_UNIT * (RATE_BINS - 1)
    rate = min(max(log_rate - CONDITION_UNIT * _LOWEST_RATE, 0), reach)
    bins = [max(0, CONDITION_UNIT - abs(rate - CONDITION_UNIT * n)) for n in range(RATE_BINS)]
    flags = [CONDITION_UNIT if a in axes else 0 for a in range(config.ndim)]
    values = [*bins, *flags, min(8 * depth, CONDITION_UNIT)]
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, *[1] * config.ndim)


class LevelContext(nn.Module):
    """Context model of one wavelet level, or of latents (diagram of the module)."""

    def __init__(self, config: PredictorConfig, width: int) -> None:
        super().__init__()
        ndim, bands = config.ndim, config.bands
        self._config = config
        outputs = (3 if config.template else 2) * bands
        gain = 1.3
        self.first = ExactConv(ndim, config.features, width, 3, FEATURE_MAX, gain=gain)
        self.first_condition = ExactConv(ndim, config.conditions, width, 1, CONDITION_UNIT)
        self.second = ExactConv(ndim, width, width, 3, HIDDEN_MAX, gain=gain)
        self.second_condition = ExactConv(ndim, config.conditions, width, 1, CONDITION_UNIT)
        self.third = ExactConv(ndim, width, width, 3, HIDDEN_MAX, gain=gain)
        self.fourth = ExactConv(ndim, width, width, 3, HIDDEN_MAX, gain=0.0)
        later = range(config.passes - 1)
        self.known = nn.ModuleList(
            ExactConv(ndim, bands, width, 3, FEATURE_MAX, gain=gain) for _ in later
        )
        every = range(config.passes)
        self.mix = nn.ModuleList(
            ExactConv(ndim, width, width, 1, HIDDEN_MAX, gain=gain) for _ in every
        )
        self.head = nn.ModuleList(
            ExactConv(ndim, width, outputs, 1, HIDDEN_MAX, gain=0.2) for _ in every
        )

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
        scale = round_through(parts[1], 0.5) + _CENTRE_INDEX
        gate = None
        if self._config.template:
            gate = clamp(round_through(parts[2], 0.5) + _GATE_ONE // 2, 0, _GATE_ONE)
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
