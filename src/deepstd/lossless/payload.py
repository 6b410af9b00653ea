"""The payload of an exactly coded scan.

    checksum (4) ┬ order of the axes (1) · fields of the mapping · length of each slab · slabs
                 └ 6 + way (1) ────────── fields of the mapping · masks (masks.py)

A label map is stored as masks where that is shorter. The checksum is the CRC-32 of all that
follows. Shape and type of the voxels are not in the payload.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepstd.engine.library import engine
from deepstd.errors import DamagedError, named
from deepstd.lossless import masks, native, reference
from deepstd.lossless.arrangement import ORDERS, Arrangement
from deepstd.lossless.fields import Reader, block
from deepstd.lossless.mapping import Levels, Mapping, to_levels
from deepstd.lossless.masks import BY_BIT, BY_VALUE

_CHECKSUM_BYTES = 4
_KINDS = {"b": (1,), "u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8)}
_MOST_AXES = 4


def encode(voxels: np.ndarray, *, may_be_labels: bool = True) -> bytes:
    """Encode voxels exactly.

    Args:
        voxels: one to four axes, no axis empty; booleans, integers or floats of at most 64 bits.
        may_be_labels: False for steps or differences, which are no numbers of regions.

    Raises:
        ValueError: the voxels are not of this kind.
        MemoryError: there is too little memory.
    """
    check_kind(voxels.shape, voxels.dtype)
    levels = to_levels(voxels)
    body = _whole(levels)
    if may_be_labels and masks.in_patches(levels.high):
        body = min([body, *_as_masks(voxels, levels)], key=len)
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body


def _whole(levels: Levels) -> bytes:
    """Return the body of a payload that holds levels as they are."""
    arrangement = Arrangement.of(levels.high)
    stack = arrangement.stacked(levels.high)
    slabs = [np.ascontiguousarray(stack[part]) for part in arrangement.slabs()]
    streams = _Coder(arrangement.period, levels.most).encode(slabs)
    return bytes((arrangement.order,)) + levels.fields + b"".join(map(block, streams))


def _as_masks(voxels: np.ndarray, levels: Levels) -> list[bytes]:
    """Return the bodies of payloads that hold levels as masks, one by value and one by bit."""
    # Ranks in a table have other bits than the numbers.
    ways = {BY_VALUE: levels, BY_BIT: to_levels(voxels, ranked=False)}
    made = []
    for way, found in ways.items():
        packed = masks.encode(found.high, way, _Coder(0, 1))
        if packed is not None:
            made.append(bytes((len(ORDERS) + way,)) + found.fields + packed)
    return made


def decode(payload: bytes, shape: tuple[int, ...], dtype: np.dtype, name: str) -> np.ndarray:
    """Decode voxels of a known shape and type; ``name`` stands in messages.

    Raises:
        DamagedError: the payload is not one of such voxels.
        ValueError: the shape or type is not one that `encode` takes.
        MemoryError: there is too little memory.
    """
    dtype = np.dtype(dtype)
    check_kind(shape, dtype)
    with named(name, DamagedError):
        return _decode(payload, shape, dtype)


def _decode(payload: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    parsed = Parsed.of(payload, shape, dtype)
    if parsed.masks is not None:
        levels = parsed.masks.levels(shape, parsed.mapping.most)
    else:
        arrangement = parsed.arrangement
        stack = np.zeros(arrangement.stack, np.int32)
        # Slabs are runs of whole slices, or of whole rows of a slice: parts without gaps.
        parsed.decode_slabs(parsed.streams, [stack[part] for part in arrangement.slabs()])
        levels = arrangement.restored(stack)
    return parsed.mapping.voxels(levels).astype(dtype, copy=False)


@dataclass(frozen=True)
class Parsed:
    """A payload that has passed its checksum.

    Attributes:
        arrangement: places of the voxels in the order of coding.
        mapping: the way from levels to voxels.
        streams: stream of each slab; none where the levels are stored as masks.
        masks: masks of the levels, or None.
    """

    arrangement: Arrangement
    mapping: Mapping
    streams: tuple[bytes, ...]
    masks: Masks | None

    @staticmethod
    def of(payload: bytes, shape: tuple[int, ...], dtype: np.dtype) -> Parsed:
        """Parse the payload of voxels of a known shape and type.

        Raises:
            DamagedError: the payload is not one of such voxels.
        """
        body = payload[_CHECKSUM_BYTES:]
        if zlib.crc32(body) != int.from_bytes(payload[:_CHECKSUM_BYTES], "little"):
            raise DamagedError("the checksum of the lossless data does not fit")
        reader = Reader(body)
        order = reader.take(1)[0]
        way = order - len(ORDERS)
        if way > BY_BIT:
            raise DamagedError(f"lossless data has an unknown order of axes {order}")
        count = int(np.prod(shape, dtype=np.int64))
        mapping = Mapping.read(reader, count, dtype.newbyteorder("="))
        if way >= 0:
            return Parsed(Arrangement(shape, 0), mapping, (), Masks(way, body[reader.at :]))
        arrangement = Arrangement(shape, order)
        streams = tuple(reader.block() for _ in arrangement.slabs())
        _check_end(reader)
        return Parsed(arrangement, mapping, streams, None)

    def decode_slabs(self, streams: Sequence[bytes], slabs: Sequence[np.ndarray]) -> None:
        """Fill slabs, or the first slices of slabs, with the levels of their streams.

        Args:
            streams: streams of some slabs.
            slabs: (slices, rows, columns) int32 of each, contiguous.
        """
        _Coder(self.arrangement.period, self.mapping.most).decode(streams, slabs)


@dataclass(frozen=True)
class Masks:
    """Packed masks of levels.

    Attributes:
        way: `BY_VALUE` or `BY_BIT`.
        packed: result of `masks.encode`.
    """

    way: int
    packed: bytes

    def levels(self, shape: tuple[int, ...], most: int) -> np.ndarray:
        """Return the levels, (*shape) int32.

        Args:
            shape: shape of the voxels.
            most: largest level.

        Raises:
            DamagedError: the masks are not those of such levels.
        """
        reader = Reader(self.packed)
        levels = masks.decode(reader, shape, most, self.way, _Coder(0, 1))
        _check_end(reader)
        return levels


@dataclass(frozen=True)
class _Coder:
    """Coder of slabs, by the engine or the reference.

    Attributes:
        period: slices of a frame, or 0.
        most: largest level.
    """

    period: int
    most: int

    def encode(self, slabs: Sequence[np.ndarray]) -> list[bytes]:
        """Return the bytes of slabs (slices, rows, columns), int32, contiguous."""
        library: Any = engine()
        if library is None:
            return [reference.encode_slab(slab, self.period, self.most) for slab in slabs]
        return native.encode_slabs(library, slabs, self.period, self.most)

    def decode(self, streams: Sequence[bytes], slabs: Sequence[np.ndarray]) -> None:
        """Fill slabs with what was encoded."""
        library: Any = engine()
        if library is None:
            for stream, slab in zip(streams, slabs, strict=True):
                reference.decode_slab(stream, slab, self.period, self.most)
        else:
            native.decode_slabs(library, streams, slabs, self.period, self.most)


def _check_end(reader: Reader) -> None:
    if reader.at != len(reader.data):
        raise DamagedError(f"{len(reader.data) - reader.at} bytes follow the lossless data")


def check_kind(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise a ValueError where voxels are not of a kind that is coded."""
    if dtype.itemsize not in _KINDS.get(dtype.kind, ()):
        raise ValueError(f"expected booleans, integers or floats of at most 64 bits, not {dtype}")
    if not 1 <= len(shape) <= _MOST_AXES or min(shape) < 1:
        raise ValueError(f"expected one to four axes, none of them empty, not {shape}")
