"""Parts that a network for the wavelet could have, and does not, as they did not pay.

Each is added to a network that is trained already, changes nothing at first, and learns from there.
They exist in training alone: what is asked is only whether one of them is worth building.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast
from unittest import mock

import torch
from torch import nn

from deepstd.texture.autoencoder.blocks import TCMBlock, TransformerHalf, zero_convolution
from deepstd.texture.entropy.context import CONDITION_UNIT, ContextConfig
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.entropy.integer import FEATURE_MAX, HIDDEN_MAX, LayerSize
from deepstd.texture.networks import levels
from deepstd.texture.networks.context import LevelContext, condition_vector
from deepstd.texture.networks.features import blur, signed_log
from deepstd.texture.networks.integer import ExactConv, relu, round_through
from deepstd.texture.networks.lifting import merge, split
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.tiling import Sides
from deepstd.texture.wavelet.lifting import Plan
from deepstd.train import coding

_WIDTH = 16
_WINDOW = {2: 8, 3: 4}
_MEAN_UNITS = UNITS_PER_STEP // 16
_ACTIVATION_UNIT = 32.0


class LowFromHigh(nn.Module):
    """A change of a low subband, from the high ones of the same level (and from itself)."""

    def __init__(self, config: ContextConfig, *, sees_low: bool) -> None:
        super().__init__()
        ndim, inputs = config.ndim, config.bands + sees_low
        self.first = ExactConv(ndim, LayerSize(inputs, _WIDTH, 3, FEATURE_MAX), gain=1.3)
        self.condition = ExactConv(ndim, LayerSize(config.conditions, _WIDTH, 1, CONDITION_UNIT))
        self.second = ExactConv(ndim, LayerSize(_WIDTH, _WIDTH, 3, HIDDEN_MAX), gain=1.3)
        self.last = ExactConv(ndim, LayerSize(_WIDTH, 1, 3, HIDDEN_MAX), gain=0.0)

    def forward(
        self, high: torch.Tensor, condition: torch.Tensor, low: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, 1, *grid) in units, for high subbands (B, bands, *grid) in units."""
        seen = signed_log(high)
        if low is not None:
            seen = torch.cat([seen, signed_log(low - blur(low))], 1)
        x = relu(self.first(seen) + self.condition(condition))
        return self.last(relu(self.second(x) + x)) * _MEAN_UNITS


def _of(model: LevelContext) -> LowFromHigh:
    return cast(LowFromHigh, model.low_from_high)


def _each_level(network: TextureNetwork) -> Iterator[LevelContext]:
    for model in network.context.levels:
        yield cast(LevelContext, model)


@contextmanager
def learned_update(network: TextureNetwork) -> Iterator[None]:
    """A learned lifting step after the wavelet's own: low += U(high), undone by the decoder.

    The other half of a learned pair, high −= P(low), is what the context model's mean is.
    """
    for model in _each_level(network):
        model.low_from_high = LowFromHigh(network.context.config, sees_low=False)

    def merged(level: levels.Level, high: torch.Tensor) -> torch.Tensor:
        low = level.low - _of(level.model)(high, level.condition)
        return merge(low, high, level.axes, level.fine)

    plain_code = coding.code_units

    def code_units(coded: TextureNetwork, batch: coding.Batch, *rest: Any, **options: Any) -> Any:
        def updated(x: torch.Tensor, plan: Plan) -> Any:
            return _updated(coded, batch, x, plan)

        with mock.patch.object(coding, "decompose", updated):
            return plain_code(coded, batch, *rest, **options)

    with ExitStack() as changed:
        changed.enter_context(mock.patch.object(levels.Level, "merged", merged))
        changed.enter_context(mock.patch.object(coding, "code_units", code_units))
        yield


def _updated(
    network: TextureNetwork, batch: coding.Batch, x: torch.Tensor, plan: Plan
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """`lifting.decompose` with the learned update after every level."""
    lows, highs = [], []
    for number, axes in enumerate(plan):
        x, high = split(x, axes)
        model, depth = network.context.level(number)
        config = network.context.config
        told = [condition_vector(config, rate, axes, depth) for rate in batch.rates]
        x = x + _of(model)(high, torch.cat(told))
        lows.append(x)
        highs.append(high)
    return lows, highs


@contextmanager
def level_filter(network: TextureNetwork) -> Iterator[None]:
    """A filter of the decoder alone after every level: low += D(low, high)."""
    for model in _each_level(network):
        model.low_from_high = LowFromHigh(network.context.config, sees_low=True)

    def merged(level: levels.Level, high: torch.Tensor) -> torch.Tensor:
        low = level.low + _of(level.model)(high, level.condition, level.low)
        return merge(low, high, level.axes, level.fine)

    with mock.patch.object(levels.Level, "merged", merged):
        yield


class _Attended(nn.Module):
    """Two transformer halves, the second with shifted windows, on activations in whole numbers."""

    def __init__(self, ndim: int, width: int) -> None:
        super().__init__()
        self.halves = nn.Sequential(
            *(TransformerHalf(ndim, width, _WINDOW[ndim], shifted=s) for s in (False, True))
        )
        self.exit = zero_convolution(ndim, width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = self.exit(self.halves(x.float() / _ACTIVATION_UNIT))
        return round_through(change, _ACTIVATION_UNIT)


@contextmanager
def attention_in_context(network: TextureNetwork) -> Iterator[None]:
    """Window attention in the middle of the context model, in floating point.

    A codec would need it in whole numbers, which is worth the trouble only if this pays.
    """
    for model in _each_level(network):
        model.attended = _Attended(network.config.ndim, model.first.weight.shape[0])
    plain = LevelContext.hidden

    def hidden(
        model: LevelContext,
        features: torch.Tensor,
        condition: torch.Tensor,
        borders: Sides | None = None,
    ) -> torch.Tensor:
        x = plain(model, features, condition, borders)
        return relu(x + cast(_Attended, model.attended)(x))

    with mock.patch.object(LevelContext, "hidden", hidden):
        yield


class _TCMPair(nn.Module):
    def __init__(self, ndim: int, width: int) -> None:
        super().__init__()
        window = _WINDOW[ndim]
        self.blocks = nn.ModuleList(
            TCMBlock(ndim, width, window, shifted=s, placed=False) for s in (False, True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, None)
        return x


@contextmanager
def attention_in_filter(network: TextureNetwork) -> Iterator[None]:
    """A pair of transformer-CNN mixture blocks, plain and shifted, at the post-filter's end."""
    blocks = cast(Sequence[nn.Module], network.postfilter.blocks)
    pair = _TCMPair(network.config.ndim, network.config.filter_width)
    network.postfilter.blocks = nn.Sequential(*blocks, pair)
    yield
