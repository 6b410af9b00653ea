"""The payload of an exactly coded scan.

    checksum (4) · order of the axes (1) · fields of the mapping · length of each slab · slabs

The checksum is the CRC-32 of all that follows. Shape and type of the voxels are not in the payload.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.engine.library import engine
from deepstd.errors import DamagedError, named
from deepstd.lossless import native, reference
from deepstd.lossless.arrangement import ORDERS, Arrangement
from deepstd.lossless.fields import Reader, block
from deepstd.lossless.mapping import Mapping, to_levels

_CHECKSUM_BYTES = 4
_KINDS = {"b": (1,), "u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8)}
_MOST_AXES = 4


def encode(voxels: np.ndarray) -> bytes:
    """Encode voxels exactly.

    Args:
        voxels: one to four axes, no axis empty; booleans, integers or floats of at most 64 bits.

    Raises:
        ValueError: the voxels are not of this kind.
        MemoryError: there is too little memory.
    """
    check_kind(voxels.shape, voxels.dtype)
    levels = to_levels(voxels)
    arrangement = Arrangement.of(levels.high)
    stack = arrangement.stacked(levels.high)
    slabs = [np.ascontiguousarray(stack[part]) for part in arrangement.slabs()]
    library, period, most = engine(), arrangement.period, levels.most
    if library is None:
        streams = [reference.encode_slab(slab, period, most) for slab in slabs]
    else:
        streams = native.encode_slabs(library, slabs, period, most)
    body = bytes((arrangement.order,)) + levels.fields + b"".join(map(block, streams))
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body


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
    arrangement = parsed.arrangement
    stack = np.zeros(arrangement.stack, np.int32)
    # Slabs are runs of whole slices, or of whole rows of one slice: contiguous parts of the stack.
    parsed.decode_slabs(parsed.streams, [stack[part] for part in arrangement.slabs()])
    return parsed.mapping.voxels(arrangement.restored(stack)).astype(dtype, copy=False)


@dataclass(frozen=True)
class Parsed:
    """A payload that has passed its checksum.

    Attributes:
        arrangement: places of the voxels in the order of coding.
        mapping: the way from levels to voxels.
        streams: stream of each slab.
    """

    arrangement: Arrangement
    mapping: Mapping
    streams: tuple[bytes, ...]

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
        if order >= len(ORDERS):
            raise DamagedError(f"lossless data has an unknown order of axes {order}")
        arrangement = Arrangement(shape, order)
        count = int(np.prod(shape, dtype=np.int64))
        mapping = Mapping.read(reader, count, dtype.newbyteorder("="))
        streams = tuple(reader.block() for _ in arrangement.slabs())
        if reader.at != len(body):
            raise DamagedError(f"{len(body) - reader.at} bytes follow the lossless data")
        return Parsed(arrangement, mapping, streams)

    def decode_slabs(self, streams: Sequence[bytes], slabs: Sequence[np.ndarray]) -> None:
        """Fill slabs, or the first slices of slabs, with the levels of their streams.

        Args:
            streams: streams of some slabs.
            slabs: (slices, rows, columns) int32 of each, contiguous.
        """
        library, period, most = engine(), self.arrangement.period, self.mapping.most
        if library is not None:
            native.decode_slabs(library, streams, slabs, period, most)
            return
        for stream, slab in zip(streams, slabs, strict=True):
            reference.decode_slab(stream, slab, period, most)


def check_kind(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise a ValueError where voxels are not of a kind that is coded."""
    if dtype.itemsize not in _KINDS.get(dtype.kind, ()):
        raise ValueError(f"expected booleans, integers or floats of at most 64 bits, not {dtype}")
    if not 1 <= len(shape) <= _MOST_AXES or min(shape) < 1:
        raise ValueError(f"expected one to four axes, none of them empty, not {shape}")
