"""Learned parts of the autoencoder for one number of axes, and their storage in a bundle.

AutoencoderNetwork = analysis, synthesis (float) + entropy model (integers) + tables (integers)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from deepstd.coding.tables import ScaleTables, parametric_tables
from deepstd.texture.autoencoder.latents import HyperAnalysis, LatentModel
from deepstd.texture.autoencoder.transform import Analysis, AutoencoderConfig, Synthesis
from deepstd.texture.networks.serialization import pack, unpack


class AutoencoderNetwork(nn.Module):
    """The paper's 3DTCMPE in 2-D or 3-D; the template is on the scan's own grid."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.latents = LatentModel(config)
        self.tables: ScaleTables = parametric_tables()

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the integers of the entropy model, float16 for the rest, and the tables."""
        return pack(self, self.tables)

    @staticmethod
    def from_tensors(
        config: AutoencoderConfig, stored: Mapping[str, np.ndarray]
    ) -> AutoencoderNetwork:
        """Load a network from the arrays of `to_tensors`, ready to code.

        Raises:
            BundleError: an array is missing, left over or does not fit.
        """
        network = AutoencoderNetwork(config)
        network.tables = unpack(network, stored)
        return network
