"""Bytes that come out of a decompressor, no more of them than are asked for.

    member of an archive, deflated data set ─ pieces ─▶ Unpacked ─ read, seek ─▶ parser

A file of one megabyte may unpack to gigabytes of zeros, so there is a limit.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO

from deepstd.errors import InputError

# Before its pixels, even an enhanced object of 50,000 frames has fewer bytes.
MOST_HEADER_BYTES = 1 << 26
_PIECE = 1 << 16


class Unpacked(io.BufferedIOBase, BinaryIO):
    """A stream that can be read and sought in, and is unpacked as far as it was read.

    Args:
        more: returns the next bytes, at most so many; none at the end.
        most: bytes that may be asked for.
        label: names the stream in errors.
        head: the bytes it begins with.
    """

    def __init__(
        self, more: Callable[[int], bytes], most: int, label: str, head: bytes = b""
    ) -> None:
        self._more, self._most, self._label = more, most, label
        self._data = bytearray(head)
        self._position = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes: so many, or all; InputError where they are beyond the limit."""
        wanted = None if size is None or size < 0 else self._position + size
        while wanted is None or len(self._data) < wanted:
            if len(self._data) > self._most:
                raise InputError(
                    f"{self._label}: unpacks to more than the {self._most} bytes that its image "
                    "can need. Unpack it first"
                )
            # Never more than the limit and a piece, whatever length an element claims.
            piece = self._more(_PIECE)
            if not piece:
                break
            self._data += piece
        found = bytes(self._data[self._position : wanted])
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place counted from the beginning or from here."""
        if whence not in (io.SEEK_SET, io.SEEK_CUR):
            raise io.UnsupportedOperation("the end is not known")
        self._position = max(0, offset + (self._position if whence == io.SEEK_CUR else 0))
        return self._position

    def tell(self) -> int:
        """Return the place in bytes from the beginning."""
        return self._position

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True


def inflated(stream: BinaryIO, most: int, label: str, head: bytes) -> Unpacked:
    """Return a stream of some bytes and what follows in another, unpacked (RFC 1951, no header).

    Args:
        stream: stands at the first deflated byte.
        most, label, head: see `Unpacked`.
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
