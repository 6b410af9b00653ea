"""All that is learned of the texture stage for one number of axes, and how a bundle stores it.

TextureNetwork = context model (integers) + post-filter (float) + frequency tables (integers)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from deepstd.coding.tables import ScaleTables, parametric_tables
from deepstd.errors import BundleError
from deepstd.texture.entropy.context import (
    ContextConfig,
    ContextModel,
    condition_vector,
)
from deepstd.texture.filters.postfilter import Filter, NoFilter, PostFilter
from deepstd.texture.scaling import log_rate
from deepstd.texture.serialization import pack, unpack
from deepstd.texture.wavelet.lifting import (
    Plan,
)

_MOST_LEVELS = 12
_MOST_BLOCKS = 16


@dataclass(frozen=True)
class TextureConfig:
    """Sizes of the networks.

    Attributes:
        ndim: 2 or 3 spatial axes.
        widths: hidden channels of the context model at each level, finest first.
        template: whether they are conditioned on a warped template.
        filter_width: channels of the post-filter; 0 for none.
        filter_blocks: residual blocks of the post-filter.
    """

    ndim: int
    widths: tuple[int, ...]
    template: bool
    filter_width: int
    filter_blocks: int

    def __post_init__(self) -> None:
        filter_sizes = [self.filter_width, self.filter_blocks]
        whole = all(type(size) is int for size in [self.ndim, *self.widths, *filter_sizes])
        few = 1 <= len(self.widths) <= _MOST_LEVELS and self.filter_blocks <= _MOST_BLOCKS
        sizes = [*self.widths, *(filter_sizes if any(filter_sizes) else ())]
        if not whole or not few or self.ndim not in (2, 3) or not all(1 <= s <= 512 for s in sizes):
            raise BundleError(f"a texture network of sizes {asdict(self)} is not possible")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> TextureConfig:
        """Inverse of `to_dict`."""
        try:
            return TextureConfig(**{**values, "widths": tuple(values["widths"])})
        except (TypeError, KeyError) as error:
            raise BundleError(
                f"a texture network's description is not understood: {error}"
            ) from error


class TextureNetwork(nn.Module):
    """Context model, post-filter and tables."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = config
        context = ContextConfig(config.ndim, config.widths, config.template)
        self.context = ContextModel(context)
        self.postfilter: Filter = NoFilter()
        if config.filter_width:
            sizes = config.filter_width, config.filter_blocks
            self.postfilter = PostFilter(config.ndim, *sizes, config.template, context.conditions)
        self.tables: ScaleTables = parametric_tables()

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Integers of the context model, half-precision post-filter and tables."""
        return pack(self, self.tables)

    @staticmethod
    def from_tensors(config: TextureConfig, stored: Mapping[str, np.ndarray]) -> TextureNetwork:
        """Inverse of `to_tensors`, ready to code; BundleError where something does not fit."""
        network = TextureNetwork(config)
        network.tables = unpack(network, stored)
        return network


def condition_of(network: TextureNetwork, step_code: int, plan: Plan) -> torch.Tensor:
    """What the post-filter is told, (1, conditions, 1 …)."""
    axes = plan[0] if plan else ()
    return condition_vector(network.context.config, log_rate(step_code), axes, 0)
