"""The payload of an SPCL chunk: special values of a frame and their masks.

count (1) · value · mask                                        one value
count + 128 (1) · values · [length of its mask (4)] · masks     several, each with its mask; the
                                                                last is empty if it is the rest
count (1) · values · length of the mask (4) · mask · labels     several, in older files

value = kind, relation, bytes of an integer << 3 (1) · [integer, little-endian | float64]

A frame with the special values of the frame before has an empty payload.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from deepstd.errors import DamagedError
from deepstd.special_values.masks import decompress, pack_mask, unpack_mask

_NAN, _PLUS_INFINITY, _MINUS_INFINITY, _INTEGER, _FLOAT, _INTEGER_2, _FLOAT_2 = range(7)
_NOT_FINITE = {_NAN: math.nan, _PLUS_INFINITY: math.inf, _MINUS_INFINITY: -math.inf}
_KIND_BITS, _SIZE_BITS, _MAX_INTEGER_BYTES = 3, 4, 9
_RELATED = 1 << _KIND_BITS + _SIZE_BITS
_OWN_MASKS = 1 << 7
_MOST_WITH_LABELS, _MAX_VALUES = 4, 7
_LENGTH = struct.Struct("<I")


class Relation(IntEnum):
    """Relation of the ordinary values of a frame to a special value."""

    ANYWHERE = 0
    ABOVE = 1
    BELOW = 2
    APART = 3
    """On both sides, but no ordinary voxel holds the value."""


# Relation by the kind of an integer value and the bit `_RELATED`.
_RELATIONS = {
    (_INTEGER, False): Relation.ANYWHERE,
    (_INTEGER, True): Relation.ABOVE,
    (_INTEGER_2, False): Relation.BELOW,
    (_INTEGER_2, True): Relation.APART,
}
_TAGS = {relation: tag for tag, relation in _RELATIONS.items()}
_AS_INTEGER = {_FLOAT: _INTEGER, _FLOAT_2: _INTEGER_2}
_AS_FLOAT = {integer: kind for kind, integer in _AS_INTEGER.items()}


@dataclass(frozen=True)
class Specials:
    """Special voxels of one frame: their values and their positions.

    Attributes:
        values: the special values; integers for integer types.
        labels: uint8 in the shape of the frame; 0 for an ordinary voxel, n for ``values[n - 1]``.
        relations: relation of the ordinary values to each value; empty for `Relation.ANYWHERE`.
    """

    values: tuple[float | int, ...]
    labels: np.ndarray
    relations: tuple[Relation, ...] = ()

    @property
    def mask(self) -> np.ndarray:
        """True where a voxel is special, in the shape of the frame."""
        return self.labels != 0

    @property
    def _related(self) -> list[tuple[float | int, Relation]]:
        relations = self.relations or (Relation.ANYWHERE,) * len(self.values)
        return list(zip(self.values, relations, strict=True))

    def same_as(self, other: Specials) -> bool:
        """Return True where another frame has the same special values at the same voxels."""
        return self._header == other._header and np.array_equal(self.labels, other.labels)

    def subsampled(self, factors: Sequence[int]) -> Specials:
        """Subsample the mask by an integer factor along each axis."""
        kept = tuple(slice(None, None, factor) for factor in factors)
        return Specials(self.values, self.labels[kept], self.relations)

    def part(self, box: tuple[slice, ...]) -> Specials:
        """Return the special values of a part of the frame."""
        return Specials(self.values, self.labels[box], self.relations)

    def to_bytes(self) -> bytes:
        """Return the payload of an SPCL chunk, by the shortest of the methods."""
        return self._payload

    @cached_property
    def _payload(self) -> bytes:
        count = len(self.values)
        masks = [pack_mask(self.labels == number) for number in range(1, count)]
        is_rest = count > 1 and self.labels.all()
        masks.append(b"" if is_rest else pack_mask(self.labels == count))
        lengths = [_LENGTH.pack(len(mask)) for mask in masks[:-1]]
        return self._header + b"".join([*lengths, *masks])

    @property
    def _header(self) -> bytes:
        count = len(self.values)
        flags = _OWN_MASKS if count > 1 else 0
        return bytes([count | flags]) + b"".join(_pack_value(*pair) for pair in self._related)

    @classmethod
    def from_bytes(cls, data: bytes, shape: Sequence[int], name: str = "file") -> Specials:
        """Read the payload of an SPCL chunk.

        Args:
            data: the payload, not empty.
            shape: shape of the frame, from a checked header.
            name: name of the file, for messages.

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
        first, data = _cut(data, 1)
        count, own_masks = first[0] & ~_OWN_MASKS, bool(first[0] & _OWN_MASKS)
        most = _MAX_VALUES if own_masks else _MOST_WITH_LABELS
        if not 1 <= count <= most:
            raise DamagedError(f"expected 1 to {most} values, found {count}")
        values, relations = [], []
        for _ in range(count):
            (value, relation), data = _cut_value(data)
            values.append(value)
            relations.append(relation)
        if own_masks:
            labels = _cut_masks(data, count, shape)
        elif count == 1:
            labels = unpack_mask(data, shape).astype(np.uint8)
        else:
            labels = _cut_labels(data, count, shape)
        return cls(tuple(values), labels, tuple(relations))

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Return a copy of a decoded frame of any type, with its special values restored.

        Ordinary voxels that coding has moved to a special value, or beyond it, are set to the
        nearest value allowed by the relation. Masks made by a threshold thus stay the same.

        Raises:
            DamagedError: a value does not fit the type.
            ValueError: the shape of the frame is another.
        """
        if values.shape != self.labels.shape:
            raise ValueError(f"expected a frame of shape {self.labels.shape}, got {values.shape}")
        restored = values.copy()
        ordinary = ~self.mask
        # In ascending order, as the neighbour of a value may be the next special value.
        for value, relation in sorted(self._related, key=_finite_first):
            if relation is Relation.ANYWHERE:
                continue
            near = _neighbour(value, restored.dtype, up=relation is not Relation.BELOW)
            if relation is Relation.ABOVE:
                np.maximum(restored, near, out=restored, where=ordinary)
            elif relation is Relation.BELOW:
                np.minimum(restored, near, out=restored, where=ordinary)
            else:
                restored[ordinary & (restored == value)] = near
        for label, value in enumerate(self.values, 1):
            if not _fits(value, restored.dtype):
                raise DamagedError(f"the special value {value} does not fit {restored.dtype}")
            with np.errstate(over="ignore"):
                restored[self.labels == label] = value
        return restored


def payloads(found: Sequence[Specials | None]) -> list[bytes | None]:
    """Return the SPCL payload of each frame; None without special values, empty for a repetition.

    Args:
        found: special values of all frames, in order.
    """
    packed: list[bytes | None] = []
    before: Specials | None = None
    for own in found:
        if own is None:
            packed.append(None)
        else:
            packed.append(b"" if before is not None and own.same_as(before) else own.to_bytes())
        before = own
    return packed


def unpacked(
    payload: bytes | None, before: Specials | None, shape: Sequence[int], name: str
) -> Specials | None:
    """Return the special values of a frame, or None where it has none.

    Args:
        payload: SPCL payload of the frame; empty for the special values of the frame before.
        before: special values of the frame before.
        shape: shape of the frame, from a checked header.
        name: name of the file, for messages.

    Raises:
        DamagedError: the payload does not describe such a frame.
    """
    if payload is None:
        return None
    if payload:
        return Specials.from_bytes(payload, shape, name)
    if before is None:
        raise DamagedError(f"{name} is damaged: no special values before a frame that repeats them")
    return before


def _finite_first(related: tuple[float | int, Relation]) -> tuple[bool, float | int]:
    value = related[0]
    return (False, value) if math.isfinite(value) else (True, 0)


def _neighbour(value: float | int, dtype: np.dtype, *, up: bool) -> np.generic:
    """Return the next value of a type above or below a value."""
    native = dtype.newbyteorder("=").type
    if dtype.kind == "f":
        return np.nextafter(native(value), native(math.inf if up else -math.inf))
    near = value + (1 if up else -1)
    if not _fits(near, dtype):
        raise DamagedError(f"no value of {dtype} lies beyond the special value {value}")
    return native(near)


def _fits(value: float | int, dtype: np.dtype) -> bool:
    if dtype.kind == "f":
        return True
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return isinstance(value, int) and int(low) <= value <= int(high)


def _pack_value(value: float | int, relation: Relation) -> bytes:
    kind, related = _TAGS[relation]
    flag = _RELATED if related else 0
    if isinstance(value, int):
        size = (value.bit_length() + 8) // 8
        tag = kind | size << _KIND_BITS | flag
        return bytes([tag]) + value.to_bytes(size, "little", signed=True)
    for code, other in _NOT_FINITE.items():
        if value == other or (code == _NAN and math.isnan(value)):
            return bytes([code])
    return bytes([_AS_FLOAT[kind] | flag]) + struct.pack("<d", value)


def _cut_value(data: bytes) -> tuple[tuple[float | int, Relation], bytes]:
    tag, data = _cut(data, 1)
    kind, related = tag[0] & ((1 << _KIND_BITS) - 1), bool(tag[0] & _RELATED)
    size = (tag[0] & ~_RELATED) >> _KIND_BITS
    if (kind, related) in _RELATIONS and 1 <= size <= _MAX_INTEGER_BYTES:
        number, data = _cut(data, size)
        return (int.from_bytes(number, "little", signed=True), _RELATIONS[kind, related]), data
    if kind in _AS_INTEGER and size == 0:
        number, data = _cut(data, 8)
        value = struct.unpack("<d", number)[0]
        relation = _RELATIONS[_AS_INTEGER[kind], related]
        if relation is Relation.ANYWHERE or math.isfinite(value):
            return (value, relation), data
    if kind in _NOT_FINITE and size == 0 and not related:
        return (_NOT_FINITE[kind], Relation.ANYWHERE), data
    raise DamagedError(f"a value of unknown kind {tag[0]}")


def _cut_masks(data: bytes, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Read one mask for each of ``count`` values; return the labels, uint8."""
    sizes = []
    for _ in range(count - 1):
        length, data = _cut(data, _LENGTH.size)
        sizes.append(_LENGTH.unpack(length)[0])
    labels = np.zeros(shape, np.uint8)
    for number in range(1, count + 1):
        packed, data = _cut(data, sizes[number - 1]) if number < count else (data, b"")
        if number == count and not packed:
            labels[labels == 0] = count
            break
        mask = unpack_mask(packed, shape)
        if labels[mask].any():
            raise DamagedError("a voxel with two values")
        labels[mask] = number
    return labels


def _cut_labels(data: bytes, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Read one mask and the labels of its voxels (older files); return the labels, uint8."""
    length, data = _cut(data, _LENGTH.size)
    packed, data = _cut(data, _LENGTH.unpack(length)[0])
    method, data = _cut(data, 1)
    labels = unpack_mask(packed, shape).astype(np.uint8)
    special = labels != 0
    found = np.frombuffer(decompress(method[0], data, int(special.sum()), exact=True), np.uint8)
    if not ((found >= 1) & (found <= count)).all():
        raise DamagedError("a label without a value")
    labels[special] = found
    return labels


def _cut(data: bytes, count: int) -> tuple[bytes, bytes]:
    if count > len(data):
        raise DamagedError(f"expected {count} more bytes, found {len(data)}")
    return data[:count], data[count:]
