"""Fields of a payload: numbers of any length, and blocks of bytes.

number = seven bits a byte, low bits first; the top bit says that more follow
block  = length (number) · bytes
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from deepstd.errors import DamagedError

_MOST_BYTES = 10  # of a number: 70 bits


def number(value: int) -> bytes:
    """Return the bytes of an integer from 0 to 2^64 − 1."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def block(data: bytes) -> bytes:
    """Return a block of bytes with its length."""
    return number(len(data)) + data


def packed(values: np.ndarray) -> bytes:
    """Return a block of unsigned integers: bytes of equal rank together, deflated."""
    low_first = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<")).reshape(-1))
    ranks = low_first.view(np.uint8).reshape(-1, values.dtype.itemsize).T
    return block(zlib.compress(ranks.tobytes(), 9))


@dataclass
class Reader:
    """The fields of a payload, one after the other.

    Every method raises DamagedError where the payload ends too early.
    """

    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise DamagedError("lossless data ends before its last field")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self) -> int:
        """Return an integer from 0 to 2^64 − 1."""
        value = 0
        for rank in range(_MOST_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 127) << 7 * rank
            if byte < 128:
                break
        if value >= 2**64:
            raise DamagedError("a number in the lossless data has more than 64 bits")
        return value

    def block(self) -> bytes:
        """Return the next block."""
        return self.take(self.number())

    def packed(self, count: int, dtype: str) -> np.ndarray:
        """Return (count,) unsigned integers that `packed` wrote."""
        size = count * np.dtype(dtype).itemsize
        inflate = zlib.decompressobj()
        try:
            ranks = inflate.decompress(self.block(), size + 1)
        except zlib.error as error:
            raise DamagedError(f"a table in the lossless data is damaged ({error})") from error
        if len(ranks) != size:
            raise DamagedError(f"a table in the lossless data is not of {size} bytes")
        columns = np.frombuffer(ranks, np.uint8).reshape(-1, count).T
        return np.ascontiguousarray(columns).view(dtype).reshape(count)
