"""Bytes of payloads: varints and a reader that checks every length before it is trusted.

integers ─ LEB128 ─▶ bytes ─ Cursor ─▶ integers, pieces; a DamagedError where they do not fit
"""

from __future__ import annotations

from deepstd.errors import ContainerError, DamagedError, TruncatedError

MAX_VARINT_BYTES = 10


_MAX_VARINT = 2**64 - 1


RETRIEVE_AGAIN = "Copy or download the file again, then check it with `deepstd verify`."


def encode_varint(value: int) -> bytes:
    """Unsigned LEB128 of an integer below 2**64, in the fewest bytes."""
    if not 0 <= value <= _MAX_VARINT:
        raise ValueError(f"expected an integer from 0 to 2**64 - 1, got {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def damaged(name: str, what: str) -> DamagedError:
    """The error for bytes of file ``name`` that contradict each other."""
    return DamagedError(f"{name} is damaged: {what}. {RETRIEVE_AGAIN}")


def truncated(name: str, what: str) -> TruncatedError:
    """The error for a file ``name`` that ends too early."""
    return TruncatedError(f"{name} is cut off: {what}. {RETRIEVE_AGAIN}")


class Cursor:
    """Reads a payload from front to back and never past its end.

    Args:
        data: the bytes to read.
        name: the file, for messages.
        where: the part of the file, for messages.
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
        """A DamagedError that names the file and this part of it."""
        return damaged(self._name, f"{self._where}: {what}")

    def short(self, what: str) -> ContainerError:
        """The error for bytes that end too early."""
        return self.error(what)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes; DamagedError when there are fewer."""
        if count > self.remaining:
            raise self.short(f"expected {count} more bytes, found {self.remaining}")
        self._position += count
        return bytes(self._data[self._position - count : self._position])

    def byte(self) -> int:
        """The next byte as an integer."""
        return self.take(1)[0]

    def varint(self, most: int = _MAX_VARINT) -> int:
        """The next varint; DamagedError when it is not the shortest form or exceeds ``most``."""
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
        """Check that nothing is left; DamagedError otherwise."""
        if self.remaining:
            raise self.error(f"{self.remaining} bytes too many")
