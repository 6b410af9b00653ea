"""Textures of which parts are decoded: interface, and the one that is decoded whole at first use.

CodedTexture ─ codec ─▶ OpenedTexture ─ region ─▶ restored values, in steps
                              └ ByteCache: coarse levels, tiles, slices
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deepstd.cache import ByteCache
from deepstd.texture.coded import DecodedTexture
from deepstd.texture.tiling import Region


class OpenedTexture(Protocol):
    """Interface of the texture of one frame, of which parts are decoded."""

    @property
    def scale(self) -> tuple[float, float]:
        """Quantisation step in grey values, and grey value of 0 steps."""
        ...

    def steps(self, region: Region) -> np.ndarray:
        """Return restored values in steps before the Wiener filter, those of the whole decoding.

        Args:
            region: part of the frame, (start, stop) along each axis, not empty.

        Returns:
            float32 of the region's shape.

        Raises:
            DamagedError: the bytes make no sense.
        """
        ...


@dataclass(frozen=True)
class Kept:
    """Place of the decoded parts of one frame in a cache.

    Attributes:
        cache: cache of the scan.
        frame: name of the frame among the keys.
    """

    cache: ByteCache
    frame: Hashable

    def array(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array of the frame, made where it is not known."""
        return self.cache.get((self.frame, key), make, lambda array: array.nbytes)


class OpenedWhole:
    """A texture that can be decoded as a whole alone: a small one, or one of an autoencoder.

    Args:
        decode: decodes the texture.
        scale: quantisation step in grey values, and grey value of 0 steps.
        kept: place of the decoded values.
    """

    def __init__(
        self, decode: Callable[[], DecodedTexture], scale: tuple[float, float], kept: Kept
    ) -> None:
        self._decode, self.scale, self._kept = decode, scale, kept

    def steps(self, region: Region) -> np.ndarray:
        """Return restored values of a region in steps (`OpenedTexture.steps`)."""
        return self._kept.array("whole", lambda: self._decode().steps)[region]
