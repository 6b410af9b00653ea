"""Textures between a file and their decoder: the coded bytes, and the decoded values.

frame of a file ─▶ CodedTexture ─ codec ─▶ DecodedTexture ─▶ grey values
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.coding.bytes import Cursor
from deepstd.texture.header import TextureHeader


@dataclass(frozen=True)
class CodedTexture:
    """The coded texture of one frame.

    Attributes:
        payload: header and first stream.
        tiles: streams of the tiles.
        shape: voxels along each axis.
        name: name of the file, for messages.
    """

    payload: bytes
    tiles: Sequence[bytes]
    shape: tuple[int, ...]
    name: str

    def read_header(self) -> tuple[TextureHeader, Cursor]:
        """Read the header; return it with a cursor on the bytes behind it.

        Raises:
            DamagedError: the header makes no sense.
        """
        cursor = Cursor(self.payload, self.name, "texture")
        return TextureHeader.read(cursor, len(self.shape)), cursor


@dataclass(frozen=True)
class DecodedTexture:
    """A decoded texture; grey values are ``offset + step · steps``.

    Attributes:
        steps: restored values in quantisation steps, (*shape) float32; a preview is smaller.
        step: quantisation step in grey values.
        offset: grey value of 0 steps.
        latents: SHA-256 of the symbols.
    """

    steps: np.ndarray
    step: float
    offset: float
    latents: bytes
