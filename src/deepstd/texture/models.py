"""Networks of both transforms, made from the descriptions of bundles and training runs.

    description ─▶ TextureNetwork (lifting: wavelet, context model, post-filter)
                 └ AutoencoderNetwork ("transform": "autoencoder": the paper's 3DTCMPE)

No module that codes is imported, so that training needs no range coder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.transform import AutoencoderConfig
from deepstd.texture.kinds import AUTOENCODER, LIFTING, Part
from deepstd.texture.networks.network import TextureConfig, TextureNetwork

_TRANSFORM = "transform"
Config = TextureConfig | AutoencoderConfig
Network = TextureNetwork | AutoencoderNetwork


def part_named(name: str) -> Part:
    """Parse the key of a network from its name."""
    return int(name) if name.isdigit() else name


def config_of(description: Mapping[str, Any]) -> Config:
    """Parse the sizes of a network from a bundle's description.

    Raises:
        BundleError: the description makes no sense.
    """
    if description.get(_TRANSFORM, LIFTING) == AUTOENCODER:
        entries = {name: value for name, value in description.items() if name != _TRANSFORM}
        return AutoencoderConfig.from_dict(entries)
    return TextureConfig.from_dict(description)


def description_of(config: Config) -> dict[str, Any]:
    """Return the description of a network's sizes, as plain values for JSON."""
    if isinstance(config, AutoencoderConfig):
        return {_TRANSFORM: AUTOENCODER, **config.to_dict()}
    return config.to_dict()


def untrained(config: Config) -> Network:
    """Make an untrained network of given sizes."""
    if isinstance(config, AutoencoderConfig):
        return AutoencoderNetwork(config)
    return TextureNetwork(config)


def network_of(description: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> Network:
    """Load a network of a bundle, ready to code.

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
