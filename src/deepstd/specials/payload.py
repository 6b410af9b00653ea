"""The payload of an SPCL chunk: which special values a frame holds, and where.

count (1) · values · mask                                    one value
count (1) · values · length of the mask (4) · mask · labels  several: which of them each has

value = kind, bytes of an integer << 3 (1) · [integer, little-endian | float64]
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.errors import DamagedError
from deepstd.specials.masks import compress, decompress, pack_mask, unpack_mask

_NAN, _PLUS_INFINITY, _MINUS_INFINITY, _INTEGER, _FLOAT = range(5)
_NOT_FINITE = {_NAN: math.nan, _PLUS_INFINITY: math.inf, _MINUS_INFINITY: -math.inf}
_KIND_BITS, _MAX_INTEGER_BYTES = 3, 9
_MAX_VALUES = 4


@dataclass(frozen=True)
class Specials:
    """Where the special voxels of one frame are, and what they hold.

    Attributes:
        values: the special values; integers for integer types.
        labels: uint8 in the shape of the frame; 0 for an ordinary voxel, n for ``values[n - 1]``.
    """

    values: tuple[float | int, ...]
    labels: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """True where a voxel is special, in the shape of the frame."""
        return self.labels != 0

    def subsampled(self, factors: Sequence[int]) -> Specials:
        """Those of every so many-th voxel along each axis."""
        kept = tuple(slice(None, None, factor) for factor in factors)
        return Specials(self.values, self.labels[kept])

    def to_bytes(self) -> bytes:
        """The payload of an SPCL chunk, by the shortest of the methods."""
        mask = self.mask
        values = bytes([len(self.values)]) + b"".join(map(_pack_value, self.values))
        packed = pack_mask(mask)
        if len(self.values) == 1:
            return values + packed
        method, labels = compress(self.labels[mask].tobytes())
        return values + struct.pack("<I", len(packed)) + packed + bytes([method]) + labels

    @classmethod
    def from_bytes(cls, data: bytes, shape: Sequence[int], name: str = "file") -> Specials:
        """Read what `to_bytes` wrote.

        Args:
            data: the payload.
            shape: of the frame, from a head that was checked.
            name: the file, for messages.

        Raises:
            DamagedError: the payload does not describe such a frame.
        """
        try:
            return cls._parse(data, tuple(shape))
        except DamagedError as error:
            raise DamagedError(
                f"{name} is damaged: special values: {error}. Copy or download the file again"
            ) from error

    @classmethod
    def _parse(cls, data: bytes, shape: tuple[int, ...]) -> Specials:
        count, data = _cut(data, 1)
        if not 1 <= count[0] <= _MAX_VALUES:
            raise DamagedError(f"expected 1 to {_MAX_VALUES} values, found {count[0]}")
        values = []
        for _ in range(count[0]):
            value, data = _cut_value(data)
            values.append(value)
        if len(values) == 1:
            return cls(tuple(values), unpack_mask(data, shape).astype(np.uint8))
        length, data = _cut(data, 4)
        packed, data = _cut(data, struct.unpack("<I", length)[0])
        method, data = _cut(data, 1)
        labels = unpack_mask(packed, shape).astype(np.uint8)
        special = labels != 0
        found = np.frombuffer(decompress(method[0], data, int(special.sum()), exact=True), np.uint8)
        if not ((found >= 1) & (found <= len(values))).all():
            raise DamagedError("a label without a value")
        labels[special] = found
        return cls(tuple(values), labels)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """A copy of ``values``, a frame of any type, with the special values in their places.

        Raises:
            DamagedError: a value does not fit the type.
            ValueError: the shape is another.
        """
        if values.shape != self.labels.shape:
            raise ValueError(f"expected a frame of shape {self.labels.shape}, got {values.shape}")
        restored = values.copy()
        for label, value in enumerate(self.values, 1):
            if not _fits(value, restored.dtype):
                raise DamagedError(f"the special value {value} does not fit {restored.dtype}")
            with np.errstate(over="ignore"):
                restored[self.labels == label] = value
        return restored


def _fits(value: float | int, dtype: np.dtype) -> bool:
    if dtype.kind == "f":
        return True
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return isinstance(value, int) and int(low) <= value <= int(high)


def _pack_value(value: float | int) -> bytes:
    if isinstance(value, int):
        size = (value.bit_length() + 8) // 8
        return bytes([_INTEGER | size << _KIND_BITS]) + value.to_bytes(size, "little", signed=True)
    for kind, other in _NOT_FINITE.items():
        if value == other or (kind == _NAN and math.isnan(value)):
            return bytes([kind])
    return bytes([_FLOAT]) + struct.pack("<d", value)


def _cut_value(data: bytes) -> tuple[float | int, bytes]:
    tag, data = _cut(data, 1)
    kind, size = tag[0] & ((1 << _KIND_BITS) - 1), tag[0] >> _KIND_BITS
    if kind == _INTEGER and 1 <= size <= _MAX_INTEGER_BYTES:
        number, data = _cut(data, size)
        return int.from_bytes(number, "little", signed=True), data
    if kind == _FLOAT and size == 0:
        number, data = _cut(data, 8)
        return struct.unpack("<d", number)[0], data
    if kind in _NOT_FINITE and size == 0:
        return _NOT_FINITE[kind], data
    raise DamagedError(f"a value of unknown kind {tag[0]}")


def _cut(data: bytes, count: int) -> tuple[bytes, bytes]:
    if count > len(data):
        raise DamagedError(f"expected {count} more bytes, found {len(data)}")
    return data[:count], data[count:]
