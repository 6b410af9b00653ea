"""Parser of .dstd files, with every length checked before it is used.

    bytes ─ chunks ─▶ number ─▶ Container
    stream ─ the same, tiles skipped, up to the last TEXT, or EXAC ─▶ Beginning
           ─ the same, chunks of frames skipped ─▶ Description

Nothing is decoded here, and no more memory is allocated than the bytes of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from deepstd.coding.bytes import Cursor, damaged
from deepstd.container.chunks import (
    Section,
    file_chunks,
    pass_over_exact_part,
    stream_chunks,
)
from deepstd.container.digest import HASH_BYTES, FrameChunks, hash_of
from deepstd.container.format import PREAMBLE, ChunkType, Coding
from deepstd.container.head import Head, unpack_dtype
from deepstd.container.layers import ExactPart, read_exact_part
from deepstd.container.notes import unpack_notes
from deepstd.container.source_header import unpack_source_header
from deepstd.errors import ContainerError, DamagedError
from deepstd.volume import SourceHeader

_DESCRIBING = (ChunkType.HEAD, ChunkType.SRCH, ChunkType.NOTE, ChunkType.TYPE)
_OF_FRAMES = (
    *(ChunkType.SPCL, ChunkType.SHAP, ChunkType.TEXT, ChunkType.TILE),
    *(ChunkType.WIEN, ChunkType.EXAC),
)


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
        return _is_lossless(self.exact)


@dataclass(frozen=True)
class Container(Beginning):
    """A parsed .dstd file.

    Attributes:
        wiener: payload of the WIEN chunk (adaptive Wiener filter); None where there is none.
        digest: hash of everything that decides a voxel.
        sections: every part of the file, in order and without gaps.
        lossy_nbytes: bytes of the file without the exact part.
        exact_part: what the file lacks to be exact; None in a file without layers.
        damage: error of an exact part that cannot be read; None where there is none.
    """

    wiener: bytes | None
    digest: bytes
    sections: tuple[Section, ...]
    lossy_nbytes: int
    exact_part: ExactPart | None = None
    damage: ContainerError | None = None

    def check(self, decoded: bytes) -> None:
        """Check what was decoded, and the chunks that decide voxels, against the hash.

        Args:
            decoded: SHA-256 of the decoded symbols or voxels; empty where there are none.

        Raises:
            DamagedError: the file does not give what was encoded.
        """
        coded = [chunk for frame in self.frames for chunk in frame.chunks()]
        if self.wiener is not None:
            coded.append((ChunkType.WIEN, self.wiener))
        if self.exact is not None:
            coded.append((ChunkType.EXAC, self.exact))
        if hash_of(self.head, self.packed_source_header, coded, decoded) != self.digest:
            raise DamagedError(
                f"{self.name} is damaged: what it decodes to is not what was encoded. The file "
                "passed its checksums, so please report this with the output of `deepstd doctor`."
            )


def parse(data: bytes | memoryview, name: str, *, lossy_suffices: bool = False) -> Container:
    """Parse a whole .dstd file.

    Args:
        data: bytes of the file.
        name: name of the file, for messages.
        lossy_suffices: True to keep the error of a damaged exact part in the result.

    Raises:
        NotDstdError: the file has another signature.
        UnsupportedVersionError: written by a newer release.
        TruncatedError: the file ends before its last chunk does.
        DamagedError: a checksum, a length, an order or a number is wrong.
    """
    chunks = list(file_chunks(data, name))
    known = [(chunk.type, chunk.payload) for chunk in chunks if chunk.type is not None]
    head = Head.unpack(known[0][1], name)
    frames, exact = _frames(known), _exact(known)
    end = chunks[-1].section.offset + chunks[-1].section.nbytes
    layer, damage = None, None
    if end < len(data):
        try:
            layer = read_exact_part(data, end, name)
        except ContainerError as error:
            if not lossy_suffices or _is_lossless(exact):
                raise
            damage = error
    if exact is None and len(frames) != head.frame_count:
        raise damaged(name, f"expected {head.frame_count} frames, found {len(frames)}")
    digest = known[-1][1]
    if len(digest) != HASH_BYTES:
        raise damaged(name, f"expected {HASH_BYTES} bytes of hash, got {len(digest)}")
    preamble = Section("preamble", 0, len(PREAMBLE))
    sections = (preamble, *(chunk.section for chunk in chunks))
    sections += () if layer is None else layer.sections
    last_type, last = known[-2]
    wiener = last if last_type is ChunkType.WIEN else None
    description = _description(known, name)
    parts = frames, exact, wiener, digest, sections
    return Container(name, len(data), head, *description, *parts, end, layer, damage)


def parse_head_only(data: bytes | memoryview, name: str) -> Head:
    """Read the HEAD chunk of a .dstd file, from the whole file or its beginning.

    Raises:
        ContainerError: the preamble or the HEAD chunk is missing, cut off or damaged.
    """
    return Head.unpack(next(file_chunks(data, name)).payload, name)


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
    for chunk in stream_chunks(stream, name, (ChunkType.TILE,)):
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
    for chunk in stream_chunks(stream, name, _OF_FRAMES):
        if chunk.type is not None and chunk.type in _DESCRIBING:
            known.append((chunk.type, chunk.payload))
    pass_over_exact_part(stream, name)
    if stream.tell() != nbytes:
        raise damaged(name, f"{nbytes - stream.tell()} bytes follow its end")
    return description_of(known, name, nbytes)


def description_of(
    chunks: Iterable[tuple[ChunkType, bytes]], name: str, nbytes: int
) -> Description:
    """Return the description of a scan from its chunks, HEAD first.

    Args:
        chunks: type and payload of HEAD, SRCH, NOTE and TYPE, as far as there are such chunks.
        name: name of the file, for messages.
        nbytes: bytes of the file.

    Raises:
        ContainerError: a chunk is damaged.
    """
    known = list(chunks)
    return Description(name, nbytes, Head.unpack(known[0][1], name), *_description(known, name))


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


def _is_lossless(exact: bytes | None) -> bool:
    """Return True where the payload of an EXAC chunk holds every bit; False without one."""
    return exact is not None and exact[:1] != bytes([Coding.STEPS])


def _description(
    chunks: list[tuple[ChunkType, bytes]], name: str
) -> tuple[bytes, tuple[str, ...], np.dtype | None]:
    """Return the packed source header, the notes and the smallest type of a file's chunks."""
    found = {kind: payload for kind, payload in chunks if kind in _DESCRIBING}
    notes, smallest = found.get(ChunkType.NOTE), None
    if ChunkType.TYPE in found:
        cursor = Cursor(found[ChunkType.TYPE], name, "its smallest type")
        smallest = unpack_dtype(cursor)
        cursor.finish()
    return (
        found.get(ChunkType.SRCH, b""),
        () if notes is None else unpack_notes(notes, name),
        smallest,
    )
