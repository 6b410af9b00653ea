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

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from deepstd.coding.tables import SCALE_COUNT
from deepstd.devices import Device
from deepstd.texture.entropy.integer import (
    FEATURE_MAX,
    HIDDEN_MAX,
    STORED_PARTS,
    LayerSize,
    WholeConv,
    relu,
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
CENTRE_INDEX = 20
"""Scale index at output 0."""
GATE_ONE = 16
"""Gate of the whole template."""


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

    mean: np.ndarray
    scale: np.ndarray
    gate: np.ndarray | None


class Predictor(Protocol):
    """Interface of a context model of one level, on the CPU or on a GPU."""

    def hidden(
        self, features: np.ndarray, condition: np.ndarray, borders: Sides | None = None
    ) -> Any:
        """Compute the hidden activations, which depend on ``HALO`` positions around each.

        Args:
            features: input features, (B, features, *grid).
            condition: condition vector, (1 or B, conditions, 1 …).
            borders: for each axis, whether the features begin and end where the level does; None
                for all. On other sides a margin of ``HALO`` positions is lost.

        Returns:
            (B, width, *grid) without the margins, where the model computes.
        """
        ...

    def predict(self, index: int, hidden: Any, known: np.ndarray) -> Prediction:
        """Predict the distribution in a pass.

        Args:
            index: number of the pass.
            hidden: hidden activations, (B, width, *grid).
            known: features of the coefficients decoded before, zero elsewhere, (B, bands, *grid).
        """
        ...


def pass_of_position(grid: Sequence[int], passes: int) -> np.ndarray:
    """Return the pass in which each position of a grid is coded, (1, 1, *grid)."""
    axes = np.indices(grid)
    odd = axes.sum(0) % 2
    if passes == 2:
        return odd[None, None]
    return np.where(odd == 1, 2, np.where(axes[0] % 2 == 0, 0, 1))[None, None]


def condition_vector(
    config: PredictorConfig, log_rate: int, axes: Sequence[int], depth: int
) -> np.ndarray:
    """Return the condition vector of a level, (1, conditions, 1 …) whole numbers 0 … 32, float32.

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
    return np.array(values, np.float32).reshape(1, -1, *[1] * config.ndim)


def layer_sizes(config: PredictorConfig, width: int) -> dict[str, LayerSize]:
    """Return the sizes of the layers of a context model by their names in a bundle.

    Args:
        config: sizes of the model.
        width: hidden channels.
    """
    bands, conditions = config.bands, config.conditions
    outputs = (3 if config.template else 2) * bands
    trunk = LayerSize(width, width, 3, HIDDEN_MAX)
    sizes = {
        "first": LayerSize(config.features, width, 3, FEATURE_MAX),
        "first_condition": LayerSize(conditions, width, 1, CONDITION_UNIT),
        "second": trunk,
        "second_condition": LayerSize(conditions, width, 1, CONDITION_UNIT),
        "third": trunk,
        "fourth": trunk,
    }
    for later in range(config.passes - 1):
        sizes[f"known.{later}"] = LayerSize(bands, width, 3, FEATURE_MAX)
    for index in range(config.passes):
        sizes[f"mix.{index}"] = LayerSize(width, width, 1, HIDDEN_MAX)
    for index in range(config.passes):
        sizes[f"head.{index}"] = LayerSize(width, outputs, 1, HIDDEN_MAX)
    return sizes


class LevelContext:
    """Context model of one wavelet level (diagram of the module), on the CPU.

    Args:
        config: sizes of the model.
        layers: layers by the names of `layer_sizes`.

    Attributes:
        layers: the same.
        passes: number of passes.
        has_template: whether template features are among the inputs.
    """

    def __init__(self, config: PredictorConfig, layers: Mapping[str, WholeConv]) -> None:
        self.layers = layers
        self.passes, self.has_template = config.passes, config.template

    @staticmethod
    def from_arrays(
        config: PredictorConfig, width: int, stored: Mapping[str, np.ndarray], prefix: str
    ) -> LevelContext:
        """Take the layers from the arrays of a bundle.

        Raises:
            BundleError: an array is missing or does not fit.
        """
        sizes = layer_sizes(config, width).items()
        return LevelContext(
            config,
            {n: WholeConv.from_arrays(stored, f"{prefix}.{n}", s, config.ndim) for n, s in sizes},
        )

    def hidden(
        self, features: np.ndarray, condition: np.ndarray, borders: Sides | None = None
    ) -> np.ndarray:
        """Compute the hidden activations (`Predictor.hidden`)."""
        layers = self.layers
        x = relu(layers["first"](features, borders) + layers["first_condition"](condition))
        y = layers["second"](x, borders) + layers["second_condition"](condition)
        x = relu(y + without_margin(x, borders, 1))
        y = layers["fourth"](relu(layers["third"](x, borders)), borders)
        return relu(y + without_margin(x, borders, 2))

    def predict(self, index: int, hidden: np.ndarray, known: np.ndarray) -> Prediction:
        """Predict the distribution in a pass (`Predictor.predict`)."""
        layers, x = self.layers, hidden
        if index:
            x = relu(layers[f"known.{index - 1}"](known) + hidden)
        x = relu(layers[f"mix.{index}"](x) + x)
        parts = np.split(layers[f"head.{index}"](x), 3 if self.has_template else 2, axis=1)
        scale = np.floor(parts[1] * 0.5 + 0.5) + CENTRE_INDEX
        gate = None
        if self.has_template:
            gate = np.clip(np.floor(parts[2] * 0.5 + 0.5) + GATE_ONE // 2, 0, GATE_ONE)
        return Prediction(parts[0], np.clip(scale, 0, SCALE_COUNT - 1), gate)


class ContextModel:
    """Context models of all levels.

    Args:
        config: sizes of the models.
        levels: context model of each level, finest first; the last serves all coarser levels.
        placed: the models on GPUs, by device.

    Attributes:
        config: sizes of the models.
        levels: context models on the CPU.
    """

    def __init__(
        self,
        config: ContextConfig,
        levels: Sequence[LevelContext],
        placed: Mapping[Device, Sequence[Predictor]] | None = None,
    ) -> None:
        self.config, self.levels = config, levels
        self._placed = placed or {}

    @staticmethod
    def from_arrays(config: ContextConfig, stored: Mapping[str, np.ndarray]) -> ContextModel:
        """Take the models from the arrays of a bundle.

        Raises:
            BundleError: an array is missing or does not fit.
        """
        return ContextModel(
            config,
            [
                LevelContext.from_arrays(config, width, stored, f"context.levels.{number}")
                for number, width in enumerate(config.widths)
            ],
        )

    def on(self, placed: Mapping[Device, Sequence[Predictor]]) -> ContextModel:
        """Return the models with their copies on GPUs."""
        return ContextModel(self.config, self.levels, placed)

    @property
    def names(self) -> set[str]:
        """Names of the arrays of the models in a bundle."""
        return {
            f"context.levels.{number}.{name}.{part}"
            for number, level in enumerate(self.levels)
            for name in level.layers
            for part in STORED_PARTS
        }

    def depth(self, level: int) -> int:
        """Return the number of levels between a level (0: finest) and its model's own level."""
        return max(0, level - len(self.levels) + 1)

    def of_level(self, level: int, device: Device) -> Predictor:
        """Return the model of a level (0: finest) on a device."""
        every = self.levels if device.is_cpu else self._placed[device]
        return every[min(level, len(every) - 1)]
