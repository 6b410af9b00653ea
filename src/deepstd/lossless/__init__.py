"""Exact coding of voxels: every bit comes back.

voxels ─ encode ─▶ payload ─ decode ─▶ the same voxels
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from deepstd.errors import DamagedError


def encode(voxels: np.ndarray) -> bytes:
    """Return the payload of an array of 2 to 4 axes, of any type that a scan has."""
    little = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("<"))
    return zlib.compress(little.tobytes(), 6)


def decode(payload: bytes, shape: tuple[int, ...], dtype: np.dtype, name: str) -> np.ndarray:
    """Return the array of a payload, bit for bit.

    Args:
        payload: result of `encode`.
        shape: shape of the array.
        dtype: type of the array, byte order included.
        name: name of the file, for messages.

    Raises:
        DamagedError: the payload is malformed.
    """
    nbytes = math.prod(shape) * dtype.itemsize
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload, nbytes + 1)
    except zlib.error as error:
        raise DamagedError(f"{name} is damaged: its voxels do not inflate") from error
    if len(data) != nbytes or not inflater.eof or inflater.unused_data:
        raise DamagedError(f"{name} is damaged: expected {nbytes} bytes of voxels")
    little = np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape)
    return little.astype(dtype)
