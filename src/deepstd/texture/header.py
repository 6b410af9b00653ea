"""What stands before the symbols of a texture, and what a reader can check by it.

    scaling, step, relative voxel sizes ─ varints ─▶ payload ─ check ─▶ plan, tiles, first stream

Nothing here takes memory for a scan: a damaged file is refused before that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepstd.coding.bytes import Cursor, encode_varint
from deepstd.texture.scaling import (
    OFFSET_CODE_MAX,
    RANGE_CODE_MAX,
    STEP_CODE_MAX,
    STEP_CODE_MIN,
    Scaling,
)

_CODE_BIAS = 1 << 20
OCTAVES_MAX = 3


@dataclass(frozen=True)
class TextureHeader:
    """What a decoder must know before the first symbol.

    Attributes:
        scaling: range and offset codes.
        step_code: of the quantiser.
        coarse: relative voxel sizes, 0 … 15.
        sliced: axis along which slices are coded as images (`slices`), or None.
        octaves: of them every ``2**octaves``-th is coded alone (`neighbours`); 0 for all.
    """

    scaling: Scaling
    step_code: int
    coarse: tuple[int, ...]
    sliced: int | None = None
    octaves: int = 0

    def pack(self) -> bytes:
        """Varints: range and step codes, offset code, relative voxel sizes and how it is sliced."""
        sizes = 0 if self.sliced is None else self.octaves << 2 | self.sliced + 1
        for size in reversed(self.coarse):
            sizes = sizes * 16 + size
        return (
            encode_varint(_zigzag(self.scaling.range_code))
            + encode_varint(_zigzag(self.step_code))
            + encode_varint(_zigzag(self.scaling.offset_code))
            + encode_varint(sizes)
        )

    @staticmethod
    def read(cursor: Cursor, ndim: int) -> TextureHeader:
        """Inverse of `pack`; DamagedError where a value is out of range."""
        range_code = _unzigzag(cursor.varint(_CODE_BIAS))
        step_code = _unzigzag(cursor.varint(_CODE_BIAS))
        offset_code = _unzigzag(cursor.varint(2 * OFFSET_CODE_MAX))
        most = (OCTAVES_MAX << 2 | ndim) + 1 if ndim == 3 else 1
        sizes = cursor.varint(most * 16**ndim - 1)
        if not STEP_CODE_MIN <= step_code <= STEP_CODE_MAX or abs(range_code) > RANGE_CODE_MAX:
            raise cursor.error("the quantiser step is out of range")
        scaling = Scaling(range_code, offset_code)
        if not math.isfinite(scaling.offset):
            raise cursor.error("the offset is out of range")
        coarse = tuple(sizes >> (4 * a) & 15 for a in range(ndim))
        octaves, sliced = divmod(sizes >> (4 * ndim), 4)
        if octaves and not sliced:
            raise cursor.error("slices between each other along no axis")
        return TextureHeader(scaling, step_code, coarse, sliced - 1 if sliced else None, octaves)

    def of_slice(self) -> TextureHeader:
        """What the decoder of one slice must know."""
        axes = [size for axis, size in enumerate(self.coarse) if axis != self.sliced]
        return TextureHeader(self.scaling, self.step_code, tuple(a - min(axes) for a in axes))


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)
