"""Bounded streams of decompressed bytes, unpacked as they are read.

    member of an archive, deflated data set ─ pieces ─▶ Unpacked ─ read, seek ─▶ parser

A file of one megabyte may unpack to gigabytes of zeros, so the size is limited.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO

from deepstd.errors import InputError

# 64 MiB: the header of an enhanced object of 50,000 frames is smaller.
MOST_HEADER_BYTES = 1 << 26
_PIECE = 1 << 16  # bytes unpacked at a time


class Unpacked(io.BufferedIOBase, BinaryIO):
    """Seekable stream that is unpacked only as far as it is read.

    Args:
        more: returns the next bytes, at most as many as asked for; none at the end.
        most: largest number of bytes that may be read.
        label: name of the stream in errors.
        head: first bytes of the stream.
    """

    def __init__(
        self, more: Callable[[int], bytes], most: int, label: str, head: bytes = b""
    ) -> None:
        self._more, self._most, self._label = more, most, label
        self._data = bytearray(head)
        self._position = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes, or all.

        Raises:
            InputError: the bytes are beyond the limit.
        """
        wanted = None if size is None or size < 0 else self._position + size
        while wanted is None or len(self._data) < wanted:
            if len(self._data) > self._most:
                raise InputError(
                    f"{self._label}: unpacks to more than the {self._most} bytes that its image "
                    "can need. Unpack it first"
                )
            # The length that an element claims may be far larger than the limit.
            piece = self._more(_PIECE)
            if not piece:
                break
            self._data += piece
        found = bytes(self._data[self._position : wanted])
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position counted from the beginning or from the current one."""
        if whence not in (io.SEEK_SET, io.SEEK_CUR):
            raise io.UnsupportedOperation("the end is not known")
        self._position = max(0, offset + (self._position if whence == io.SEEK_CUR else 0))
        return self._position

    def tell(self) -> int:
        """Return the position in bytes from the beginning."""
        return self._position

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True


def inflated(stream: BinaryIO, most: int, label: str, head: bytes) -> Unpacked:
    """Return a stream of ``head`` and then of inflated bytes (raw deflate, RFC 1951).

    Args:
        stream: stream at its first deflated byte.
        most: largest number of bytes that may be read.
        label: name of the stream in errors.
        head: first bytes of the returned stream.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def more(count: int) -> bytes:
        while not inflater.eof:
            packed = inflater.unconsumed_tail or stream.read(_PIECE)
            piece = inflater.decompress(packed, count)
            if piece:
                return piece
            if not packed:
                raise InputError(f"{label}: its deflated data end too early. It is cut short")
        return b""

    return Unpacked(more, most, label, head)
