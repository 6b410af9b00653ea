"""From the bytes of a .dstd file to its parts, with every length checked before it is used.

    bytes ─ preamble ─▶ chunks (length, CRC-32) ─▶ order and number ─▶ Container
    stream ─ the same, tiles passed over, up to the last TEXT ─▶ Beginning
           ─ the same, up to the first chunk of a frame ─▶ Description

Nothing is decoded here, and no memory is asked for beyond a copy of the bytes that are there.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

import numpy as np

from deepstd.coding.bytes import MAX_VARINT_BYTES, RETRIEVE_AGAIN, Cursor, damaged, truncated
from deepstd.container.format import (
    CRC_BYTES,
    PREAMBLE,
    SIGNATURE,
    VERSION,
    ChunkType,
    is_skippable,
)
from deepstd.container.head import Head, unpack_dtype
from deepstd.container.notes import unpack_notes
from deepstd.container.source_header import unpack_source_header
from deepstd.container.writer import LATENTS_DIGEST_BYTES, FrameChunks
from deepstd.errors import DamagedError, NotDstdError, TruncatedError, UnsupportedVersionError
from deepstd.volume import SourceHeader

_H, _O, _N, _Y, _V, _S, _T, _L, _W, _E = (
    ChunkType.HEAD, ChunkType.SRCH, ChunkType.NOTE, ChunkType.TYPE, ChunkType.SPCL,
    ChunkType.SHAP, ChunkType.TEXT, ChunkType.TILE, ChunkType.WIEN, ChunkType.HASH,
)  # fmt: skip
_DESCRIBING = (_H, _O, _N, _Y)
_OF_FRAMES = (_V, _S, _T, _L, _W)
_TYPES = {int(chunk_type): chunk_type for chunk_type in ChunkType}
_PIECE = 1 << 22
_FOLLOWERS: dict[ChunkType | None, tuple[ChunkType, ...]] = {
    None: (_H,),
    _H: (_O, _N, _Y, _V, _S, _T),
    _O: (_N, _Y, _V, _S, _T),
    _N: (_Y, _V, _S, _T),
    _Y: (_V, _S, _T),
    _V: (_S, _T),
    _S: (_T,),
    _T: (_V, _S, _T, _L, _W, _E),
    _L: (_V, _S, _T, _L, _W, _E),
    _W: (_E,),
}


class Section(NamedTuple):
    """One part of the file: its name, where it begins, and its bytes, framing included."""

    name: str
    offset: int
    nbytes: int


class _Chunk(NamedTuple):
    type: ChunkType | None
    section: Section
    payload: bytes


@dataclass(frozen=True)
class Description:
    """What a .dstd file says of its scan.

    Attributes:
        name: the file, for messages.
        nbytes: bytes of the file that were read.
        head: contents of the HEAD chunk.
        packed_source_header: payload of the SRCH chunk; empty where there is none.
        notes: what a user should know of the scan, in sentences.
        smallest: smallest type that holds every voxel, where that is not the stored one.
    """

    name: str
    nbytes: int
    head: Head
    packed_source_header: bytes
    notes: tuple[str, ...]
    smallest: np.dtype | None

    def source_header(self) -> SourceHeader:
        """The header of the source file, byte for byte; DamagedError if it is malformed."""
        head = self.head
        return unpack_source_header(
            self.packed_source_header, head.source_format, head.shape, head.dtype, self.name
        )


@dataclass(frozen=True)
class Beginning(Description):
    """What a preview needs of a .dstd file.

    Attributes:
        frames: payloads of every frame, perhaps without its tiles.
    """

    frames: tuple[FrameChunks, ...]


@dataclass(frozen=True)
class Container(Beginning):
    """A parsed .dstd file.

    Attributes:
        wiener: payload of the WIEN chunk; None where there is none.
        latents_digest: first 4 bytes of the SHA-256 of the latents that a decoder must get.
        sections: every part of the file, in order and without gaps.
    """

    wiener: bytes | None
    latents_digest: bytes
    sections: tuple[Section, ...]


def parse(data: bytes | memoryview, name: str) -> Container:
    """Take a .dstd file apart.

    Args:
        data: the whole file.
        name: the file, for messages.

    Raises:
        NotDstdError: the signature is another.
        UnsupportedVersionError: written by a newer release.
        TruncatedError: the file ends before its last chunk does.
        DamagedError: a checksum, a length, an order or a number is wrong.
    """
    chunks = list(_chunks(data, name))
    known = [(chunk.type, chunk.payload) for chunk in chunks if chunk.type is not None]
    head = Head.unpack(known[0][1], name)
    frames = _frames(known)
    if len(frames) != head.frame_count:
        raise damaged(name, f"expected {head.frame_count} frames, found {len(frames)}")
    digest = known[-1][1]
    if len(digest) != LATENTS_DIGEST_BYTES:
        raise damaged(name, f"expected {LATENTS_DIGEST_BYTES} bytes of digest, got {len(digest)}")
    preamble = Section("preamble", 0, len(PREAMBLE))
    sections = (preamble, *(chunk.section for chunk in chunks))
    last_type, last = known[-2]
    wiener = last if last_type is ChunkType.WIEN else None
    told = _told(known, name)
    return Container(name, len(data), head, *told, frames, wiener, digest, sections)


def parse_head_only(data: bytes | memoryview, name: str) -> Head:
    """The head of a .dstd file, from the file or from a first part of it; raises as `parse`."""
    return Head.unpack(next(_chunks(data, name)).payload, name)


def read_beginning(stream: BinaryIO, name: str) -> Beginning:
    """What a preview needs of a .dstd file, read up to the last frame's TEXT and no further.

    Tiles on the way there are passed over, so the file may still be coming in.

    Args:
        stream: at the first byte of the file.
        name: the file, for messages.

    Raises:
        ContainerError: as `parse`, as far as the file is read.
    """
    head, frames, nbytes = None, 0, len(PREAMBLE)
    known: list[tuple[ChunkType, bytes]] = []
    for chunk in _chunks_of(stream, name, (ChunkType.TILE,)):
        nbytes += chunk.section.nbytes
        if chunk.type in (ChunkType.WIEN, ChunkType.HASH):
            raise damaged(name, f"it ends after {frames} frames")
        if chunk.type is ChunkType.HEAD:
            head = Head.unpack(chunk.payload, name)
        frames += chunk.type is ChunkType.TEXT
        if chunk.type is not None:
            known.append((chunk.type, chunk.payload))
        if head is not None and frames == head.frame_count:
            return Beginning(name, nbytes, head, *_told(known, name), _frames(known))
    raise damaged(name, f"it ends after {frames} frames")


def read_description(stream: BinaryIO, name: str) -> Description:
    """Read what a .dstd file says of its scan; of the rest, only where its chunks end.

    Args:
        stream: at the first byte of the file, seekable.
        name: the file, for messages.

    Raises:
        TruncatedError: the file ends before its last chunk does.
        ContainerError: as `parse`, as far as the file is read.
    """
    nbytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    known: list[tuple[ChunkType, bytes]] = []
    for chunk in _chunks_of(stream, name, _OF_FRAMES):
        if chunk.type is not None and chunk.type in _DESCRIBING:
            known.append((chunk.type, chunk.payload))
    if stream.tell() != nbytes:
        raise damaged(name, f"{nbytes - stream.tell()} bytes follow its end")
    head = Head.unpack(known[0][1], name)
    return Description(name, nbytes, head, *_told(known, name))


class _FileCursor(Cursor):
    """A cursor over a whole file, where too few bytes mean that it was cut off."""

    def short(self, what: str) -> TruncatedError:
        return truncated(self._name, what)


def _chunks(data: bytes | memoryview, name: str) -> Iterator[_Chunk]:
    """Chunks in a valid order, up to the end of the file."""
    view = memoryview(data)
    _check_preamble(view[: len(PREAMBLE)].tobytes(), name)
    cursor = _FileCursor(view, name, "its framing")
    cursor.take(len(PREAMBLE))
    last: ChunkType | None = None
    while last is not ChunkType.HASH:
        chunk = _next_chunk(cursor, view, name)
        _check_order(chunk.type, last, name)
        last = last if chunk.type is None else chunk.type
        yield chunk
    if cursor.remaining:
        raise damaged(name, f"{cursor.remaining} bytes follow its end")


def _chunks_of(stream: BinaryIO, name: str, passed_over: Collection[ChunkType]) -> Iterator[_Chunk]:
    """Chunks of a stream in a valid order, but for types that are passed over, up to its end."""
    start = stream.read(len(PREAMBLE))
    _check_preamble(start, name)
    offset, last = len(start), None
    while last is not ChunkType.HASH:
        code, begin, length = _chunk_begin(stream, name)
        kind = _TYPES.get(code)
        _check_order(kind, last, name)
        last = last if kind is None else kind
        if kind in passed_over:
            _pass_over(stream, length, name)
        else:
            # Each chunk alone: a file may hold millions, and what is read of it must not be copied
            # once more for every one.
            data = memoryview(begin + _taken(stream, length, name))
            yield _next_chunk(_FileCursor(data, name, "its framing"), data, name, offset)
        offset += len(begin) + length


def _check_order(chunk: ChunkType | None, last: ChunkType | None, name: str) -> None:
    """DamagedError where a chunk, None for an unknown one, must not follow the last known one."""
    if chunk is None:
        if last is None:
            raise damaged(name, "its first chunk is not HEAD")
    elif chunk not in _FOLLOWERS[last]:
        before = "the preamble" if last is None else last.name
        raise damaged(name, f"a {chunk.name} chunk cannot follow {before}")


def _chunk_begin(stream: BinaryIO, name: str) -> tuple[int, bytes, int]:
    """The type of the next chunk, its first bytes, and how many follow, checksum included."""
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
    """So many bytes of a stream; by pieces, as a length may be a lie."""
    data, left = bytearray(), count
    while left and (piece := stream.read(min(left, _PIECE))):
        left -= len(piece)
        data += piece if keep else b""
    if left:
        raise truncated(name, f"its framing: expected {left} more bytes")
    return bytes(data)


def _next_chunk(cursor: Cursor, view: memoryview, name: str, offset: int = 0) -> _Chunk:
    """The chunk at a cursor over a view, whose first byte is the file's at ``offset``."""
    begin = cursor.position
    start = offset + begin
    code = cursor.byte()
    payload = cursor.take(cursor.varint())
    checksum = zlib.crc32(view[begin : cursor.position])
    if cursor.take(CRC_BYTES) != checksum.to_bytes(CRC_BYTES, "little"):
        raise damaged(name, f"the checksum of the chunk at byte {start} is wrong")
    nbytes = cursor.position - begin
    chunk_type = _TYPES.get(code)
    if chunk_type is not None:
        return _Chunk(chunk_type, Section(chunk_type.name, start, nbytes), payload)
    if is_skippable(code):
        return _Chunk(None, Section(f"unknown {code:#04x}", start, nbytes), payload)
    raise UnsupportedVersionError(
        f"{name}: chunk type {code:#04x} at byte {start} is not known to this release. Upgrade "
        "DeepSTD (`pip install -U deepstd`)."
    )


def _frames(chunks: list[tuple[ChunkType, bytes]]) -> tuple[FrameChunks, ...]:
    """Chunks that belong together, one group for each TEXT; their order is valid."""
    frames: list[FrameChunks] = []
    specials = shape = None
    tiles: list[bytes] = []
    for chunk_type, payload in chunks:
        if chunk_type is ChunkType.SPCL:
            specials = payload
        elif chunk_type is ChunkType.SHAP:
            shape = payload
        elif chunk_type is ChunkType.TEXT:
            tiles = []
            frames.append(FrameChunks(payload, shape, tiles, specials))
            specials = shape = None
        elif chunk_type is ChunkType.TILE:
            tiles.append(payload)
    return tuple(replace(frame, tiles=tuple(frame.tiles)) for frame in frames)


def _told(
    chunks: list[tuple[ChunkType, bytes]], name: str
) -> tuple[bytes, tuple[str, ...], np.dtype | None]:
    """The packed source header, the notes and the smallest type in chunks of a valid order."""
    found = {kind: payload for kind, payload in chunks if kind in _DESCRIBING}
    notes, smallest = found.get(_N), None
    if _Y in found:
        cursor = Cursor(found[_Y], name, "its smallest type")
        smallest = unpack_dtype(cursor)
        cursor.finish()
    return found.get(_O, b""), () if notes is None else unpack_notes(notes, name), smallest


def _check_preamble(start: bytes, name: str) -> None:
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
