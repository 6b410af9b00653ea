"""Parser of .dstd files, with every length checked before it is used.

    bytes ─ preamble ─▶ chunks (length, CRC-32) ─▶ order and number ─▶ Container
    stream ─ the same, tiles skipped, up to the last TEXT, or EXAC ─▶ Beginning
           ─ the same, chunks of frames skipped ─▶ Description

Nothing is decoded here, and no more memory is allocated than the bytes of the file.
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
    Coding,
    is_skippable,
)
from deepstd.container.head import Head, unpack_dtype
from deepstd.container.notes import unpack_notes
from deepstd.container.source_header import unpack_source_header
from deepstd.container.writer import LATENTS_DIGEST_BYTES, FrameChunks
from deepstd.errors import DamagedError, NotDstdError, TruncatedError, UnsupportedVersionError
from deepstd.volume import SourceHeader

_H, _O, _N, _Y, _V, _S, _T, _L, _W, _X, _E = (
    ChunkType.HEAD, ChunkType.SRCH, ChunkType.NOTE, ChunkType.TYPE, ChunkType.SPCL, ChunkType.SHAP,
    ChunkType.TEXT, ChunkType.TILE, ChunkType.WIEN, ChunkType.EXAC, ChunkType.HASH,
)  # fmt: skip
_DESCRIBING = (_H, _O, _N, _Y)
_OF_FRAMES = (_V, _S, _T, _L, _W, _X)
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


class _Chunk(NamedTuple):
    type: ChunkType | None
    section: Section
    payload: bytes


@dataclass(frozen=True)
class Description:
    """Description of a scan in its .dstd file.

    Attributes:
        name: name of the file, for messages.
        nbytes: bytes of the file that were read.
        head: contents of the HEAD chunk.
        packed_source_header: payload of the SRCH chunk; empty where there is none.
        notes: sentences for users of the scan.
        smallest: smallest type that holds every voxel; None where it is the stored type.
    """

    name: str
    nbytes: int
    head: Head
    packed_source_header: bytes
    notes: tuple[str, ...]
    smallest: np.dtype | None

    def source_header(self) -> SourceHeader:
        """Unpack the header of the source file, byte for byte.

        Raises:
            DamagedError: the payload is malformed.
        """
        head = self.head
        return unpack_source_header(
            self.packed_source_header, head.source_format, head.shape, head.dtype, self.name
        )


@dataclass(frozen=True)
class Beginning(Description):
    """The part of a .dstd file that a preview needs.

    Attributes:
        frames: payloads of every frame, possibly without tiles; none in a lossless file.
        exact: payload of the EXAC chunk of a file that is lossless or of bounded error: all voxels;
            None in other files.
    """

    frames: tuple[FrameChunks, ...]
    exact: bytes | None

    @property
    def lossless(self) -> bool:
        """True where every voxel comes back bit for bit."""
        return self.exact is not None and self.exact[:1] != bytes([Coding.STEPS])


@dataclass(frozen=True)
class Container(Beginning):
    """A parsed .dstd file.

    Attributes:
        wiener: payload of the WIEN chunk (adaptive Wiener filter); None where there is none.
        latents_digest: first 4 bytes of the SHA-256 of the correctly decoded latents, or of the
            voxels of a lossless file.
        sections: every part of the file, in order and without gaps.
    """

    wiener: bytes | None
    latents_digest: bytes
    sections: tuple[Section, ...]


def parse(data: bytes | memoryview, name: str) -> Container:
    """Parse a whole .dstd file.

    Args:
        data: bytes of the file.
        name: name of the file, for messages.

    Raises:
        NotDstdError: the file has another signature.
        UnsupportedVersionError: written by a newer release.
        TruncatedError: the file ends before its last chunk does.
        DamagedError: a checksum, a length, an order or a number is wrong.
    """
    chunks = list(_chunks(data, name))
    known = [(chunk.type, chunk.payload) for chunk in chunks if chunk.type is not None]
    head = Head.unpack(known[0][1], name)
    frames, exact = _frames(known), _exact(known)
    if exact is None and len(frames) != head.frame_count:
        raise damaged(name, f"expected {head.frame_count} frames, found {len(frames)}")
    digest = known[-1][1]
    if len(digest) != LATENTS_DIGEST_BYTES:
        raise damaged(name, f"expected {LATENTS_DIGEST_BYTES} bytes of digest, got {len(digest)}")
    preamble = Section("preamble", 0, len(PREAMBLE))
    sections = (preamble, *(chunk.section for chunk in chunks))
    last_type, last = known[-2]
    wiener = last if last_type is ChunkType.WIEN else None
    description = _description(known, name)
    return Container(name, len(data), head, *description, frames, exact, wiener, digest, sections)


def parse_head_only(data: bytes | memoryview, name: str) -> Head:
    """Read the HEAD chunk of a .dstd file, from the whole file or its beginning.

    Raises:
        ContainerError: the preamble or the HEAD chunk is missing, cut off or damaged.
    """
    return Head.unpack(next(_chunks(data, name)).payload, name)


def read_beginning(stream: BinaryIO, name: str) -> Beginning:
    """Read the part of a .dstd file that a preview needs, up to the TEXT chunk of the last frame.

    Tiles before it are skipped. The rest of the file may be missing or still be arriving. Of a
    lossless file all voxels are read.

    Args:
        stream: stream at the first byte of the file.
        name: name of the file, for messages.

    Raises:
        ContainerError: the part that is read is cut off, damaged or of another format.
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
        exact = _exact(known)
        if head is not None and (frames == head.frame_count or exact is not None):
            return Beginning(name, nbytes, head, *_description(known, name), _frames(known), exact)
    raise damaged(name, f"it ends after {frames} frames")


def read_description(stream: BinaryIO, name: str) -> Description:
    """Read the description of a scan in its .dstd file; chunks of frames are skipped.

    Args:
        stream: seekable stream of the file.
        name: name of the file, for messages.

    Raises:
        TruncatedError: the file ends before its last chunk does.
        ContainerError: the part that is read is damaged or of another format.
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
    return Description(name, nbytes, head, *_description(known, name))


class _FileCursor(Cursor):
    """A cursor over a whole file, where missing bytes mean that the file was cut off."""

    def short(self, what: str) -> TruncatedError:
        return truncated(self._name, what)


def _chunks(data: bytes | memoryview, name: str) -> Iterator[_Chunk]:
    """Yield the chunks of a file; check their order and that nothing follows the last one."""
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
    """Yield the chunks of a stream except for skipped types, and check their order."""
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
            # One buffer per chunk: a file may hold millions of chunks, and a growing buffer would
            # be copied for each of them.
            data = memoryview(begin + _taken(stream, length, name))
            yield _next_chunk(_FileCursor(data, name, "its framing"), data, name, offset)
        offset += len(begin) + length


def _check_order(chunk: ChunkType | None, last: ChunkType | None, name: str) -> None:
    """Raise a DamagedError where a chunk (None: unknown type) must not follow the last known."""
    if chunk is None:
        if last is None:
            raise damaged(name, "its first chunk is not HEAD")
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


def _next_chunk(cursor: Cursor, view: memoryview, name: str, offset: int = 0) -> _Chunk:
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
    if chunk_type is not None:
        return _Chunk(chunk_type, Section(chunk_type.name, start, nbytes), payload)
    if is_skippable(code):
        return _Chunk(None, Section(f"unknown {code:#04x}", start, nbytes), payload)
    raise UnsupportedVersionError(
        f"{name}: chunk type {code:#04x} at byte {start} is not known to this release. Upgrade "
        "DeepSTD (`pip install -U deepstd`)."
    )


def _frames(chunks: list[tuple[ChunkType, bytes]]) -> tuple[FrameChunks, ...]:
    """Group chunks of a valid order into frames, one for each TEXT chunk."""
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


def _exact(chunks: list[tuple[ChunkType, bytes]]) -> bytes | None:
    """Return the payload of the EXAC chunk, which only HASH may follow; None without one."""
    return next((payload for kind, payload in chunks[-2:] if kind is ChunkType.EXAC), None)


def _description(
    chunks: list[tuple[ChunkType, bytes]], name: str
) -> tuple[bytes, tuple[str, ...], np.dtype | None]:
    """Return the packed source header, the notes and the smallest type of a file's chunks."""
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
