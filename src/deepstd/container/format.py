"""Elements of a .dstd file: signature, chunks, varints.

    file  = signature (7) · version (1) · chunk …
    chunk = type (1) · length (varint) · payload · CRC-32 of all three (4)

The signature follows PNG's: its first byte has the high bit set, and it ends with "CR LF LF". A
reader thus recognises a transfer that stripped bits or rewrote line ends.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

from deepstd.errors import ContainerError, DamagedError, TruncatedError

SIGNATURE = b"\xd5STD\r\n\n"
VERSION = 3
PREAMBLE = SIGNATURE + bytes([VERSION])
CRC_BYTES = 4
MAX_VARINT_BYTES = 10
_MAX_VARINT = 2**64 - 1
_ANCILLARY_BIT = 0x20

RETRIEVE_AGAIN = "Copy or download the file again, then check it with `deepstd verify`."


class ChunkType(IntEnum):
    """Chunk types of format version 3, each an ASCII letter.

    A type with bit 5 set (a small letter) may be skipped by a reader that does not know it.
    """

    HEAD = ord("H")
    SRCH = ord("O")
    NOTE = ord("n")
    TYPE = ord("y")
    SPCL = ord("V")
    SHAP = ord("S")
    TEXT = ord("T")
    TILE = ord("L")
    WIEN = ord("W")
    HASH = ord("E")


def is_skippable(chunk_type: int) -> bool:
    """Return True where a reader that does not know a chunk type may skip it."""
    return bool(chunk_type & _ANCILLARY_BIT)


def encode_varint(value: int) -> bytes:
    """Encode an integer from 0 to 2**64 - 1 as unsigned LEB128, in the fewest bytes."""
    if not 0 <= value <= _MAX_VARINT:
        raise ValueError(f"expected an integer from 0 to 2**64 - 1, got {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_chunk(chunk_type: ChunkType, payload: bytes) -> bytes:
    """Encode a whole chunk: type, length, payload and checksum."""
    body = bytes([chunk_type]) + encode_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def damaged(name: str, what: str) -> DamagedError:
    """Make the error for a file ``name`` whose bytes contradict each other."""
    return DamagedError(f"{name} is damaged: {what}. {RETRIEVE_AGAIN}")


def truncated(name: str, what: str) -> TruncatedError:
    """Make the error for a file ``name`` that ends too early."""
    return TruncatedError(f"{name} is cut off: {what}. {RETRIEVE_AGAIN}")


class Cursor:
    """A reader of a payload from front to back, never past its end.

    Args:
        data: the bytes to read.
        name: name of the file, for messages.
        where: part of the file, for messages.
    """

    def __init__(self, data: bytes | memoryview, name: str, where: str) -> None:
        self._data = data
        self._position = 0
        self._name = name
        self._where = where

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    def error(self, what: str) -> DamagedError:
        """Make a DamagedError that names the file and this part of it."""
        return damaged(self._name, f"{self._where}: {what}")

    def short(self, what: str) -> ContainerError:
        """Make the error for bytes that end too early."""
        return self.error(what)

    def take(self, count: int) -> bytes:
        """Read ``count`` bytes.

        Raises:
            ContainerError: fewer bytes are left.
        """
        if count > self.remaining:
            raise self.short(f"expected {count} more bytes, found {self.remaining}")
        self._position += count
        return bytes(self._data[self._position - count : self._position])

    def byte(self) -> int:
        """Read a byte as an integer."""
        return self.take(1)[0]

    def varint(self, most: int = _MAX_VARINT) -> int:
        """Read a varint of at most ``most``.

        Raises:
            DamagedError: the number is larger, or not in its shortest form.
        """
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise self.error("a number is not in its shortest form")
                if value > most:
                    raise self.error(f"a number is {value}, expected at most {most}")
                return value
        raise self.error(f"a number has more than {MAX_VARINT_BYTES} bytes")

    def finish(self) -> None:
        """Check that all bytes are read.

        Raises:
            DamagedError: some bytes are left.
        """
        if self.remaining:
            raise self.error(f"{self.remaining} bytes too many")
