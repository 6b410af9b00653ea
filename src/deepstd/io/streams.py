"""Streams of a scan's file, unpacked where it is gzipped or bzip2ed.

    path ─ first bytes ─▶ plain, gzip or bzip2 ─ opened ─▶ Unpacked ─ take, fill ─▶ bytes

Both tools ignore bytes that follow their data. The readers here do as well, and note it.
"""

from __future__ import annotations

import bz2
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from deepstd.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
MAX_DEFLATE_RATIO = 1032  # largest expansion by DEFLATE
_MAX_BZIP2_RATIO = 1 << 21  # bzip2 1.0.8 packs zeros 1.37 million to 1
_GZIP = 16 + zlib.MAX_WBITS  # window bits by which zlib expects a gzip header
_PIECE = 1 << 22  # bytes read into a buffer at a time
_PACKED_PIECE = 1 << 16  # packed bytes read at a time


@dataclass(frozen=True)
class Unpacked:
    """A file opened for reading.

    Attributes:
        stream: content of the file, unpacked.
        most: upper bound of the content's size in bytes.
        gunzip: reader of gzip data, or None.
    """

    stream: BinaryIO
    most: int
    gunzip: Gunzip | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on bytes that were passed over, known once everything was read."""
        if self.gunzip is None or not self.gunzip.foreign:
            return ()
        return (
            "bytes that are no gzip data follow the scan: passed over, as gzip does, and not "
            "restored",
        )


@contextmanager
def opened(path: Path) -> Iterator[Unpacked]:
    """Open a file and yield its content, unpacked if it begins as gzip or bzip2 data."""
    with open(path, "rb") as stored:
        size = os.fstat(stored.fileno()).st_size
        head = stored.read(len(BZIP2_MAGIC))
        stored.seek(0)
        if head.startswith(GZIP_MAGIC):
            gunzip = Gunzip(stored)
            buffered = io.BufferedReader(gunzip, _PACKED_PIECE)
            yield Unpacked(cast("BinaryIO", buffered), size * MAX_DEFLATE_RATIO, gunzip)
        elif head == BZIP2_MAGIC:
            with bz2.BZ2File(stored) as stream:
                yield Unpacked(cast("BinaryIO", stream), size * _MAX_BZIP2_RATIO)
        else:
            yield Unpacked(stored, size)


class Gunzip(io.RawIOBase):
    """Reader of all members of a gzip file, up to the first bytes that are no member.

    Python's own reader refuses a file with anything but zeros after its last member.

    Attributes:
        foreign: whether anything but zeros followed the last member; known at the end.
    """

    def __init__(self, stored: BinaryIO) -> None:
        self._stored = stored
        self._packed = b""
        self._inflater: Any = None
        self._members = 0
        self.foreign = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, target: Any) -> int:
        """Unpack some bytes into ``target`` and return their number; 0 at the end.

        Raises:
            InputError: the data are damaged or cut short.
        """
        while self._inflater is not None or self._begins_member():
            inflater: Any = self._inflater
            packed = self._packed or self._stored.read(_PACKED_PIECE)
            try:
                piece = inflater.decompress(packed, len(target))
            except zlib.error as error:
                raise InputError(f"its gzip data are damaged ({error})") from error
            if inflater.eof:
                self._packed = inflater.unused_data
                self._inflater = None
            elif not packed and not piece:
                raise InputError("its gzip data end too early. It is cut short")
            else:
                self._packed = inflater.unconsumed_tail
            if piece:
                target[: len(piece)] = piece
                return len(piece)
        return 0

    def _begins_member(self) -> bool:
        """Begin the next member; return False where there is none."""
        while not (packed := self._packed.lstrip(b"\0") if self._members else self._packed):
            self._packed = self._stored.read(_PACKED_PIECE)
            if not self._packed:
                return False
        if len(packed) < len(GZIP_MAGIC):
            packed += self._stored.read(_PACKED_PIECE)
        if not packed.startswith(GZIP_MAGIC):
            self.foreign = True
            self._stored.seek(0, os.SEEK_END)
            self._packed = b""
            return False
        self._packed, self._members = packed, self._members + 1
        self._inflater = zlib.decompressobj(_GZIP)
        return True


def head(path: Path, count: int) -> bytes:
    """Return the first bytes of a file's content, ``count`` of them or fewer.

    Raises:
        InputError: the packed data are damaged within these bytes.
    """
    with opened(path) as unpacked:
        try:
            return unpacked.stream.read(count)
        except (OSError, EOFError) as error:
            raise InputError(f"its bzip2 data are damaged ({error})") from error


def take(stream: BinaryIO, count: int, what: str) -> bytes:
    """Read ``count`` bytes.

    Raises:
        InputError: there are fewer; the message names them as ``what``.
    """
    data = stream.read(count)
    if len(data) < count:
        raise InputError(f"the file ends in {what}. It is cut short")
    return data


def fill(stream: BinaryIO, target: memoryview) -> None:
    """Fill a buffer with voxels.

    Raises:
        InputError: the stream holds too few bytes.
    """
    done = 0
    while done < len(target):
        count = stream.readinto(target[done : done + _PIECE])  # pyright: ignore[reportAttributeAccessIssue]
        if not count:
            raise InputError(
                f"expected {len(target)} bytes of voxels, found {done}. The file is cut short"
            )
        done += count
