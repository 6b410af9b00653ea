"""From the bytes of a .dstd file to its parts, with every length checked before it is used.

    bytes ─ preamble ─▶ chunks (length, CRC-32) ─▶ order and number ─▶ Container

Nothing is decoded here, and no memory is asked for beyond a copy of the bytes that are there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from deepstd.container.format import (
    CRC_BYTES,
    PREAMBLE,
    RETRIEVE_AGAIN,
    SIGNATURE,
    VERSION,
    ChunkType,
    Cursor,
    damaged,
    is_skippable,
    truncated,
)
from deepstd.container.head import Head
from deepstd.container.source_header import unpack_source_header
from deepstd.container.writer import LATENTS_DIGEST_BYTES, FrameChunks
from deepstd.errors import DamagedError, NotDstdError, TruncatedError, UnsupportedVersionError
from deepstd.volume import SourceHeader

_H, _O, _V, _S, _T, _L, _E = (
    ChunkType.HEAD, ChunkType.SRCH, ChunkType.SPCL, ChunkType.SHAP, ChunkType.TEXT,
    ChunkType.TILE, ChunkType.HASH,
)  # fmt: skip
_FOLLOWERS: dict[ChunkType | None, tuple[ChunkType, ...]] = {
    None: (_H,),
    _H: (_O, _V, _S, _T),
    _O: (_V, _S, _T),
    _V: (_S, _T),
    _S: (_T,),
    _T: (_V, _S, _T, _L, _E),
    _L: (_V, _S, _T, _L, _E),
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
class Container:
    """A parsed .dstd file.

    Attributes:
        name: the file, for messages.
        nbytes: size of the whole file.
        head: contents of the HEAD chunk.
        packed_source_header: payload of the SRCH chunk; empty where there is none.
        frames: payloads of every frame.
        latents_digest: first 4 bytes of the SHA-256 of the latents that a decoder must get.
        sections: every part of the file, in order and without gaps.
    """

    name: str
    nbytes: int
    head: Head
    packed_source_header: bytes
    frames: tuple[FrameChunks, ...]
    latents_digest: bytes
    sections: tuple[Section, ...]

    def source_header(self) -> SourceHeader:
        """The header of the source file, byte for byte; DamagedError if it is malformed."""
        head = self.head
        return unpack_source_header(
            self.packed_source_header, head.source_format, head.shape, head.dtype, self.name
        )


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
    packed_source_header = known[1][1] if known[1][0] is ChunkType.SRCH else b""
    frames = _frames(known)
    if len(frames) != head.frame_count:
        raise damaged(name, f"expected {head.frame_count} frames, found {len(frames)}")
    digest = known[-1][1]
    if len(digest) != LATENTS_DIGEST_BYTES:
        raise damaged(name, f"expected {LATENTS_DIGEST_BYTES} bytes of digest, got {len(digest)}")
    preamble = Section("preamble", 0, len(PREAMBLE))
    sections = (preamble, *(chunk.section for chunk in chunks))
    return Container(name, len(data), head, packed_source_header, frames, digest, sections)


def parse_head_only(data: bytes | memoryview, name: str) -> Head:
    """The head of a .dstd file, from the file or from a first part of it; raises as `parse`."""
    return Head.unpack(next(_chunks(data, name)).payload, name)


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
        if chunk.type is not None:
            if chunk.type not in _FOLLOWERS[last]:
                before = "the preamble" if last is None else last.name
                raise damaged(name, f"a {chunk.type.name} chunk cannot follow {before}")
            last = chunk.type
        elif last is None:
            raise damaged(name, "its first chunk is not HEAD")
        yield chunk
    if cursor.remaining:
        raise damaged(name, f"{cursor.remaining} bytes follow its end")


def _next_chunk(cursor: Cursor, view: memoryview, name: str) -> _Chunk:
    start = cursor.position
    code = cursor.byte()
    payload = cursor.take(cursor.varint())
    checksum = zlib.crc32(view[start : cursor.position])
    if cursor.take(CRC_BYTES) != checksum.to_bytes(CRC_BYTES, "little"):
        raise damaged(name, f"the checksum of the chunk at byte {start} is wrong")
    nbytes = cursor.position - start
    if code in ChunkType.__members__.values():
        chunk_type = ChunkType(code)
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
    specials = shape = texture = None
    tiles: list[bytes] = []
    for chunk_type, payload in chunks:
        if texture is not None and chunk_type is not ChunkType.TILE:
            frames.append(FrameChunks(texture, shape, tuple(tiles), specials))
            specials = shape = texture = None
            tiles = []
        if chunk_type is ChunkType.SPCL:
            specials = payload
        elif chunk_type is ChunkType.SHAP:
            shape = payload
        elif chunk_type is ChunkType.TEXT:
            texture = payload
        elif chunk_type is ChunkType.TILE:
            tiles.append(payload)
    return tuple(frames)


def _check_preamble(start: bytes, name: str) -> None:
    if start == PREAMBLE:
        return
    if len(start) < len(PREAMBLE) and PREAMBLE.startswith(start):
        raise truncated(name, f"it has {len(start)} bytes")
    if start.startswith(SIGNATURE):
        raise UnsupportedVersionError(
            f"{name} has format version {start[-1]}, this release reads version {VERSION}. "
            "Upgrade DeepSTD (`pip install -U deepstd`)."
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
