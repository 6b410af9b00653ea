"""Header of a texture payload, checked before memory is taken for the scan.

scaling, step, relative voxel sizes ─ varints ─▶ payload ─ check ─▶ plan, tiles, first stream
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

# Largest zigzag code of range and step.
_CODE_BIAS = 1 << 20
OCTAVES_MAX = 3
"""Largest log2 of the key interval."""


@dataclass(frozen=True)
class TextureHeader:
    """Parameters of a texture that a decoder needs before the first symbol.

    Attributes:
        scaling: range and offset codes.
        step_code: code of the quantisation step; step = range · 2**(−code / 1024).
        coarse: relative voxel sizes in half octaves, 0 … 15.
        sliced: axis along which the scan is coded slice by slice, or None for a volume.
        octaves: log2 of the key interval; 0 where all slices are intra.
    """

    scaling: Scaling
    step_code: int
    coarse: tuple[int, ...]
    sliced: int | None = None
    octaves: int = 0

    def pack(self) -> bytes:
        """Pack the header as varints: range, step, offset, relative voxel sizes with slicing."""
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
        """Read the header of a scan of ``ndim`` axes.

        Raises:
            DamagedError: a value is out of range.
        """
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
        """Return the header of one slice of a scan that is coded slice by slice."""
        axes = [size for axis, size in enumerate(self.coarse) if axis != self.sliced]
        return TextureHeader(self.scaling, self.step_code, tuple(a - min(axes) for a in axes))


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)
