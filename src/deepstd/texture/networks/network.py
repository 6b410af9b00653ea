"""Learned parts of the wavelet codec for one number of axes, trainable in torch.

TextureNetwork = context model (integers) + post-filter (float) + frequency tables (integers)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from deepstd.coding.tables import ScaleTables, parametric_tables
from deepstd.texture.networks.context import ContextModel
from deepstd.texture.networks.postfilter import Filter, NoFilter, PostFilter
from deepstd.texture.networks.serialization import pack, unpack
from deepstd.texture.wavelet.network import TextureConfig


class TextureNetwork(nn.Module):
    """Context model, post-filter and frequency tables."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = config
        context = config.context
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
