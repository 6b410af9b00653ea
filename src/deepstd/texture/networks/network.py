"""Learned parts of the wavelet codec for one number of axes, and their storage in a bundle.

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
from deepstd.texture.networks.context import (
    ContextConfig,
    ContextModel,
    condition_vector,
)
from deepstd.texture.networks.postfilter import Filter, NoFilter, PostFilter
from deepstd.texture.scaling import log_rate
from deepstd.texture.networks.serialization import pack, unpack
from deepstd.texture.networks.lifting import (
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
        template: whether the networks are conditioned on a warped template.
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
        """Return the sizes as plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> TextureConfig:
        """Make sizes from the values of `to_dict`.

        Raises:
            BundleError: the values make no sense.
        """
        try:
            return TextureConfig(**{**values, "widths": tuple(values["widths"])})
        except (TypeError, KeyError) as error:
            raise BundleError(
                f"a texture network's description is not understood: {error}"
            ) from error


class TextureNetwork(nn.Module):
    """Context model, post-filter and frequency tables."""

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
        """Return the integers of the context model, the float16 post-filter and the tables."""
        return pack(self, self.tables)

    @staticmethod
    def from_tensors(config: TextureConfig, stored: Mapping[str, np.ndarray]) -> TextureNetwork:
        """Load a network from the arrays of `to_tensors`, ready to code.

        Raises:
            BundleError: an array is missing, left over or does not fit.
        """
        network = TextureNetwork(config)
        network.tables = unpack(network, stored)
        return network


def condition_of(network: TextureNetwork, step_code: int, plan: Plan) -> torch.Tensor:
    """Return the condition vector of the post-filter, (1, conditions, 1 …).

    Args:
        network: network of the texture.
        step_code: code of the quantisation step.
        plan: axes split at each level, finest first.
    """
    axes = plan[0] if plan else ()
    return condition_vector(network.context.config, log_rate(step_code), axes, 0)
