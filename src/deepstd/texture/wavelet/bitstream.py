"""A texture as an encoder made it: streams, symbols, and what they decode to.

first stream, tiles ─▶ payloads, hash of the symbols, reconstruction
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from deepstd.devices import Workers
from deepstd.texture.entropy.symbols import hash_of
from deepstd.texture.wavelet.levels import Level


@dataclass(frozen=True)
class EncodedTile:
    """One tile of the finest level.

    Attributes:
        stream: its bytes.
        symbols: in coding order, parts of small integers.
        high: its high subbands in units.
        rate_weight: that it was quantised with.
    """

    stream: bytes
    symbols: list[np.ndarray]
    high: torch.Tensor
    rate_weight: float


@dataclass(frozen=True)
class EncodedTexture:
    """One frame's texture.

    Attributes:
        head: what a decoder must know first.
        stream: the first stream.
        symbols: of the first stream, in coding order.
        coded: tiles with streams of their own.
        reconstruct: gives the reconstruction in units, (1, 1, *shape); of the autoencoder its
            latents, (1, bands, *grid).
    """

    head: bytes
    stream: bytes
    symbols: list[np.ndarray]
    coded: tuple[EncodedTile, ...]
    reconstruct: Callable[[Sequence[EncodedTile]], torch.Tensor]

    @property
    def payload(self) -> bytes:
        """The first stream with its head."""
        return self.head + self.stream

    @property
    def tiles(self) -> tuple[bytes, ...]:
        """Payloads of the tiles."""
        return tuple(tile.stream for tile in self.coded)

    @property
    def nbytes(self) -> int:
        """Bytes of all payloads, chunk framing not counted."""
        return len(self.payload) + sum(map(len, self.tiles))

    @cached_property
    def latents(self) -> bytes:
        """Hash of all symbols."""
        return hash_of([*self.symbols, *(part for tile in self.coded for part in tile.symbols)])

    @cached_property
    def low(self) -> torch.Tensor:
        """What `reconstruct` gives."""
        return self.reconstruct(self.coded)


def merge_tiles(level: Level, workers: Workers, coded: Sequence[EncodedTile]) -> torch.Tensor:
    """The reconstruction of a finest level from its tiles."""
    shape = (1, len(level.mask), *level.grid)
    high = level.low.new_zeros(shape, dtype=torch.float32)
    for region, tile in zip(level.regions(), coded, strict=True):
        high[(..., *region)] = tile.high
    return level.merged(high, workers)
