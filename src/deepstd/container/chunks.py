"""Chunks of a .dstd file, with lengths, checksums and order checked before they are used.

    bytes ─ preamble ─▶ chunks (length, CRC-32) ─▶ order ─▶ Chunk …
    stream ─ the same, unwanted chunks skipped

No more memory is allocated than the bytes of the file.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple

from deepstd.coding.bytes import MAX_VARINT_BYTES, RETRIEVE_AGAIN, Cursor, damaged, truncated
from deepstd.container.format import (
    CRC_BYTES,
    PREAMBLE,
    SIGNATURE,
    VERSION,
    ChunkType,
    is_skippable,
)
from deepstd.errors import DamagedError, NotDstdError, TruncatedError, UnsupportedVersionError

_H, _O, _N, _Y, _V, _S, _T, _L, _W, _X, _E = (
    ChunkType.HEAD, ChunkType.SRCH, ChunkType.NOTE, ChunkType.TYPE, ChunkType.SPCL, ChunkType.SHAP,
    ChunkType.TEXT, ChunkType.TILE, ChunkType.WIEN, ChunkType.EXAC, ChunkType.HASH,
)  # fmt: skip
_TYPES = {int(chunk_type): chunk_type for chunk_type in ChunkType}
_PIECE = 1 << 22
_FOLLOWERS: dict[ChunkType | None, tuple[ChunkType, ...]] = {
    None: (_H,),
    _H: (_O, _N, _Y, _V, _S, _T, _X),
    _O: (_N, _Y, _V, _S, _T, _X),
    _N: (_Y, _V, _S, _T, _X),
    _Y: (_V, _S, _T, _X),
    _V: (_S, _T),
    _S: (_T,),
    _T: (_V, _S, _T, _L, _W, _E),
    _L: (_V, _S, _T, _L, _W, _E),
    _W: (_E,),
    _X: (_E,),
}


class Section(NamedTuple):
    """A part of the file: name, offset of its first byte, and bytes, framing included."""

    name: str
    offset: int
    nbytes: int


class Chunk(NamedTuple):
    """A chunk: type (None where it is unknown and may be skipped), place, and payload."""

    type: ChunkType | None
    section: Section
    payload: bytes


class _FileCursor(Cursor):
    """A cursor over a whole file, where missing bytes mean that the file was cut off."""

    def short(self, what: str) -> TruncatedError:
        return truncated(self._name, what)


def file_chunks(data: bytes | memoryview, name: str) -> Iterator[Chunk]:
    """Yield the chunks of a file up to HASH, and check their order; an exact part may follow."""
    view = memoryview(data)
    check_preamble(view[: len(PREAMBLE)].tobytes(), name)
    cursor = _FileCursor(view, name, "its framing")
    cursor.take(len(PREAMBLE))
    last: ChunkType | None = None
    while last is not ChunkType.HASH:
        chunk = _next_chunk(cursor, view, name)
        check_order(chunk.type, last, name)
        last = last if chunk.type is None else chunk.type
        yield chunk


def chunks_at(data: bytes | memoryview, start: int, name: str) -> Iterator[Chunk]:
    """Yield the chunks of a file from the byte ``start`` on, in any order.

    Raises:
        ContainerError: a chunk is damaged, or the file ends before one does.
    """
    view = memoryview(data)
    cursor = _FileCursor(view, name, "its framing")
    cursor.take(start)
    while True:
        yield _next_chunk(cursor, view, name)


def pass_over_exact_part(stream: BinaryIO, name: str) -> None:
    """Read past the exact part of a layered file, where one follows; other bytes are left.

    Raises:
        TruncatedError: the file ends before the exact part does.
    """
    for expected in (ChunkType.RESI, ChunkType.HASH):
        here = stream.tell()
        if stream.read(1) != bytes([expected]):
            stream.seek(here)
            return
        stream.seek(here)
        _, _, length = _chunk_begin(stream, name)
        _pass_over(stream, length, name)


def stream_chunks(
    stream: BinaryIO, name: str, passed_over: Collection[ChunkType]
) -> Iterator[Chunk]:
    """Yield the chunks of a stream except for skipped types, and check their order."""
    start = stream.read(len(PREAMBLE))
    check_preamble(start, name)
    offset, last = len(start), None
    while last is not ChunkType.HASH:
        code, begin, length = _chunk_begin(stream, name)
        kind = _TYPES.get(code)
        check_order(kind, last, name)
        last = last if kind is None else kind
        if kind in passed_over:
            _pass_over(stream, length, name)
        else:
            # One buffer per chunk: a file may hold millions of chunks, and a growing buffer would
            # be copied for each of them.
            data = memoryview(begin + _taken(stream, length, name))
            yield _next_chunk(_FileCursor(data, name, "its framing"), data, name, offset)
        offset += len(begin) + length


def check_order(chunk: ChunkType | None, last: ChunkType | None, name: str) -> None:
    """Raise a DamagedError where a chunk (None: unknown type) must not follow the last known."""
    if chunk is None:
        if last is None:
            raise damaged(name, "its first chunk is not HEAD")
    elif chunk is ChunkType.RESI and last is None:
        raise NotDstdError(
            f"{name} is the exact part of a scan. Join it to its file with `deepstd complete`"
        )
    elif chunk not in _FOLLOWERS[last]:
        before = "the preamble" if last is None else last.name
        raise damaged(name, f"a {chunk.name} chunk cannot follow {before}")


def _chunk_begin(stream: BinaryIO, name: str) -> tuple[int, bytes, int]:
    """Read the start of a chunk; return type, bytes read, and bytes left, checksum included."""
    start = _taken(stream, 2, name)
    while start[-1] > 0x7F and len(start) <= MAX_VARINT_BYTES:
        start += _taken(stream, 1, name)
    return start[0], start, Cursor(start[1:], name, "its framing").varint() + CRC_BYTES


def _pass_over(stream: BinaryIO, length: int, name: str) -> None:
    if not stream.seekable():
        _taken(stream, length, name, keep=False)
        return
    here, end = stream.tell(), stream.seek(0, os.SEEK_END)
    if length > end - here:
        raise truncated(name, f"its framing: expected {length - end + here} more bytes")
    stream.seek(here + length)


def _taken(stream: BinaryIO, count: int, name: str, *, keep: bool = True) -> bytes:
    """Read ``count`` bytes of a stream, by pieces: a damaged length must not allocate memory."""
    data, left = bytearray(), count
    while left and (piece := stream.read(min(left, _PIECE))):
        left -= len(piece)
        data += piece if keep else b""
    if left:
        raise truncated(name, f"its framing: expected {left} more bytes")
    return bytes(data)


def _next_chunk(cursor: Cursor, view: memoryview, name: str, offset: int = 0) -> Chunk:
    """Read the chunk at a cursor.

    Args:
        cursor: over ``view``.
        view: bytes of the file from ``offset`` on.
        name: name of the file, for messages.
        offset: position of the first byte of ``view`` in the file.
    """
    begin = cursor.position
    start = offset + begin
    code = cursor.byte()
    payload = cursor.take(cursor.varint())
    checksum = zlib.crc32(view[begin : cursor.position])
    if cursor.take(CRC_BYTES) != checksum.to_bytes(CRC_BYTES, "little"):
        raise damaged(name, f"the checksum of the chunk at byte {start} is wrong")
    nbytes = cursor.position - begin
    chunk_type = _TYPES.get(code)
    title = type_name(code, start, name)
    return Chunk(chunk_type, Section(title, start, nbytes), payload)


def type_name(code: int, start: int, name: str) -> str:
    """Return the name of a chunk's type, known or to be skipped.

    Raises:
        UnsupportedVersionError: the type is unknown and must not be skipped.
    """
    if code in _TYPES:
        return _TYPES[code].name
    if is_skippable(code):
        return f"unknown {code:#04x}"
    raise UnsupportedVersionError(
        f"{name}: chunk type {code:#04x} at byte {start} is not known to this release. Upgrade "
        "DeepSTD (`pip install -U deepstd`)."
    )


def check_preamble(start: bytes, name: str) -> None:
    """Raise a ContainerError where the first bytes of a file are not the preamble."""
    if start == PREAMBLE:
        return
    if len(start) < len(PREAMBLE) and PREAMBLE.startswith(start):
        raise truncated(name, f"it has {len(start)} bytes")
    if start.startswith(SIGNATURE):
        remedy = "Upgrade DeepSTD (`pip install -U deepstd`)."
        if start[-1] < VERSION:
            remedy = "It is older than the first release. Restore it with what wrote it."
        raise UnsupportedVersionError(
            f"{name} has format version {start[-1]}, this release reads version {VERSION}. {remedy}"
        )
    if start[1:4] == SIGNATURE[1:4]:
        raise DamagedError(
            f"{name} was changed by a transfer in text mode: it begins with {start.hex(' ')}, "
            f"expected {PREAMBLE.hex(' ')}. Transfer it again in binary mode. {RETRIEVE_AGAIN}"
        )
    raise NotDstdError(
        f"{name} is not a .dstd file: it begins with {start.hex(' ')}, expected "
        f"{PREAMBLE.hex(' ')}. Give a file that `deepstd compress` wrote."
    )
