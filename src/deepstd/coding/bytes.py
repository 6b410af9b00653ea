"""Bytes of payloads: varints and a reader that checks every length before it is trusted.

integers ─ LEB128 ─▶ bytes ─ Cursor ─▶ integers, pieces; a DamagedError where they do not fit
"""

from __future__ import annotations

from deepstd.errors import ContainerError, DamagedError, TruncatedError

MAX_VARINT_BYTES = 10  # seven bits each, for 64 bits
_MAX_VARINT = 2**64 - 1
RETRIEVE_AGAIN = "Copy or download the file again, then check it with `deepstd verify`."


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


def damaged(name: str, what: str) -> DamagedError:
    """Make the error for a file ``name`` whose bytes contradict each other."""
    return DamagedError(f"{name} is damaged: {what}. {RETRIEVE_AGAIN}")


def truncated(name: str, what: str) -> TruncatedError:
    """Make the error for a file ``name`` that ends too early."""
    return TruncatedError(f"{name} is cut off: {what}. {RETRIEVE_AGAIN}")


class Cursor:
    """Reader of a payload from front to back, never past its end.

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
