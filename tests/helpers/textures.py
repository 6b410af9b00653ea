"""Textures and their networks, as tests want them."""

from __future__ import annotations

import numpy as np

from deepstd.texture.codec import Encoded, Network
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.trainable import Trainable
from deepstd.texture.wavelet.network import WaveletNetwork


def lifting(network: Network) -> WaveletNetwork:
    """The network, which must be one of the lifting transform."""
    assert isinstance(network, WaveletNetwork)
    return network


def trainable(network: Trainable) -> TextureNetwork:
    """The network in torch, which must be one of the lifting transform."""
    assert isinstance(network, TextureNetwork)
    return network


def finished(network: TextureNetwork) -> WaveletNetwork:
    """The network as a coder uses it."""
    return WaveletNetwork.from_tensors(network.config, network.to_tensors())


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Grey values with much structure and little detail."""
    random = np.random.default_rng(seed)
    x = random.normal(size=shape)
    for axis in range(len(shape)):
        x = np.cumsum(x, axis) / np.sqrt(shape[axis])
    return x * 100 + 300


def grey_values(texture: DecodedTexture) -> np.ndarray:
    """Grey values of a decoded texture."""
    return texture.steps * texture.step + texture.offset


def coded(encoded: Encoded, shape: tuple[int, ...]) -> CodedTexture:
    """Return what a file holds of an encoding."""
    return CodedTexture(encoded.payload, encoded.tiles, shape, "x")
