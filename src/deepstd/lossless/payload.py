"""The payload of an exactly coded scan.

    checksum (4) · order of the axes (1) · fields of the mapping · length of each slab · slabs

The checksum is the CRC-32 of all that follows. Shape and type of the voxels are not in the payload.
"""

from __future__ import annotations

import zlib

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
    _check(voxels.shape, voxels.dtype)
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
    _check(shape, dtype)
    with named(name, DamagedError):
        return _decode(payload, shape, dtype)


def _decode(payload: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    body = payload[_CHECKSUM_BYTES:]
    if zlib.crc32(body) != int.from_bytes(payload[:_CHECKSUM_BYTES], "little"):
        raise DamagedError("the checksum of the lossless data does not fit")
    reader = Reader(body)
    order = reader.take(1)[0]
    if order >= len(ORDERS):
        raise DamagedError(f"lossless data has an unknown order of axes {order}")
    arrangement = Arrangement(shape, order)
    native_type = dtype.newbyteorder("=")
    mapping = Mapping.read(reader, int(np.prod(shape, dtype=np.int64)), native_type)
    parts = arrangement.slabs()
    streams = [reader.block() for _ in parts]
    if reader.at != len(body):
        raise DamagedError(f"{len(body) - reader.at} bytes follow the lossless data")
    stack = np.zeros(arrangement.stack, np.int32)
    # Slabs are runs of whole slices, or of whole rows of one slice: contiguous parts of the stack.
    slabs = [stack[part] for part in parts]
    library, period, most = engine(), arrangement.period, mapping.most
    if library is None:
        for stream, slab in zip(streams, slabs, strict=True):
            reference.decode_slab(stream, slab, period, most)
    else:
        native.decode_slabs(library, streams, slabs, period, most)
    return mapping.voxels(arrangement.restored(stack)).astype(dtype, copy=False)


def _check(shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype.itemsize not in _KINDS.get(dtype.kind, ()):
        raise ValueError(f"expected booleans, integers or floats of at most 64 bits, not {dtype}")
    if not 1 <= len(shape) <= _MOST_AXES or min(shape) < 1:
        raise ValueError(f"expected one to four axes, none of them empty, not {shape}")
