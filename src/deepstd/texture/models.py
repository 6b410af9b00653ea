"""The networks of the two transforms, as bundles and training runs describe them.

    description ─▶ TextureNetwork (lifting: wavelet, context model, post-filter)
                 └ AutoencoderNetwork ("transform": "autoencoder": the paper's 3DTCMPE)

Nothing here codes, so that training needs no range coder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.transform import AutoencoderConfig
from deepstd.texture.kinds import AUTOENCODER, LIFTING, Part
from deepstd.texture.wavelet.network import TextureConfig, TextureNetwork

_TRANSFORM = "transform"
Config = TextureConfig | AutoencoderConfig
Network = TextureNetwork | AutoencoderNetwork


def part_named(name: str) -> Part:
    """Inverse of ``str(part)``."""
    return int(name) if name.isdigit() else name


def config_of(description: Mapping[str, Any]) -> Config:
    """Sizes of a network, from a bundle's description; BundleError where it makes no sense."""
    if description.get(_TRANSFORM, LIFTING) == AUTOENCODER:
        entries = {name: value for name, value in description.items() if name != _TRANSFORM}
        return AutoencoderConfig.from_dict(entries)
    return TextureConfig.from_dict(description)


def description_of(config: Config) -> dict[str, Any]:
    """Inverse of `config_of`."""
    if isinstance(config, AutoencoderConfig):
        return {_TRANSFORM: AUTOENCODER, **config.to_dict()}
    return config.to_dict()


def untrained(config: Config) -> Network:
    """A network of some sizes."""
    if isinstance(config, AutoencoderConfig):
        return AutoencoderNetwork(config)
    return TextureNetwork(config)


def network_of(description: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> Network:
    """The network of a bundle, ready to code; BundleError where something does not fit."""
    config = config_of(description)
    if isinstance(config, AutoencoderConfig):
        return AutoencoderNetwork.from_tensors(config, stored)
    return TextureNetwork.from_tensors(config, stored)
