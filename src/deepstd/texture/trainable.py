"""Networks of both transforms in torch, made for training.

sizes ─▶ TextureNetwork or AutoencoderNetwork, untrained     arrays of a bundle ─▶ the same, trained
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.description import Config, config_of
from deepstd.texture.networks.network import TextureNetwork

Trainable = TextureNetwork | AutoencoderNetwork


def untrained(config: Config) -> Trainable:
    """Make an untrained network of given sizes."""
    if isinstance(config, AutoencoderConfig):
        return AutoencoderNetwork(config)
    return TextureNetwork(config)


def trainable_of(description: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> Trainable:
    """Load a network of a bundle.

    Args:
        description: sizes of the network.
        stored: its arrays by name.

    Raises:
        BundleError: description and arrays do not fit.
    """
    config = config_of(description)
    if isinstance(config, AutoencoderConfig):
        return AutoencoderNetwork.from_tensors(config, stored)
    return TextureNetwork.from_tensors(config, stored)
