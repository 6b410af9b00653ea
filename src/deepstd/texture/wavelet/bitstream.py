"""Encoded textures: streams, symbols and reconstruction.

first stream, tiles ─▶ payloads, hash of the symbols, reconstruction
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deepstd.texture.entropy.symbols import hash_of
from deepstd.texture.wavelet.levels import Level


@dataclass(frozen=True)
class EncodedTile:
    """An encoded tile of the finest level.

    Attributes:
        stream: bytes of the tile.
        symbols: symbols of each pass in coding order.
        high: decoded high subbands in 1/64 step, (1, bands, *tile) float32.
        rate_weight: λ of the quantiser.
    """

    stream: bytes
    symbols: list[np.ndarray]
    high: np.ndarray
    rate_weight: float


@dataclass(frozen=True)
class EncodedTexture:
    """The encoded texture of one frame.

    Attributes:
        head: packed header.
        stream: stream of all levels but the finest, or of all levels of an untiled scan.
        symbols: symbols of each pass of this stream in coding order.
        coded: tiles of the finest level.
        reconstruct: returns the reconstruction from the tiles: dequantised values before the
            filters in 1/64 step, (1, 1, *shape); for the autoencoder, latents (1, bands, *grid).
    """

    head: bytes
    stream: bytes
    symbols: list[np.ndarray]
    coded: tuple[EncodedTile, ...]
    reconstruct: Callable[[Sequence[EncodedTile]], np.ndarray]

    @property
    def payload(self) -> bytes:
        """Header and first stream."""
        return self.head + self.stream

    @property
    def tiles(self) -> tuple[bytes, ...]:
        """Streams of the tiles."""
        return tuple(tile.stream for tile in self.coded)

    @property
    def nbytes(self) -> int:
        """Bytes of all streams, without chunk framing."""
        return len(self.payload) + sum(map(len, self.tiles))

    @cached_property
    def latents(self) -> bytes:
        """SHA-256 of all symbols."""
        return hash_of([*self.symbols, *(part for tile in self.coded for part in tile.symbols)])

    @property
    def low(self) -> np.ndarray:
        """Reconstruction before the filters in 1/64 step, (1, 1, *shape); or latents.

        Tiles are merged at each call, so that a large scan's reconstruction is not kept.
        """
        return self.reconstruct(self.coded)


def merge_tiles(level: Level, coded: Sequence[EncodedTile]) -> np.ndarray:
    """Merge the tiles of the finest level; return the reconstruction, (1, 1, *shape) float32."""
    high = np.zeros((1, *level.mask.shape), np.float32)
    for region, tile in zip(level.regions(), coded, strict=True):
        high[(..., *region)] = tile.high
    return level.merged(high)
