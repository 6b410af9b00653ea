"""Descriptions of networks in bundles and training runs.

JSON ─▶ TextureConfig (lifting) or AutoencoderConfig ("transform": "autoencoder") ─▶ JSON

No module that codes is imported, so that training needs no range coder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.kinds import AUTOENCODER, LIFTING, Part
from deepstd.texture.wavelet.network import TextureConfig

_TRANSFORM = "transform"
Config = TextureConfig | AutoencoderConfig


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
