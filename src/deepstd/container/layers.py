"""Exact part of a layered file, behind the whole lossy file, or in a file of its own.

    lossy file · RESI · HASH ─ split ─▶ lossy file, exact part
    preamble   · RESI · HASH            the exact part alone, for a lossy file kept elsewhere

RESI begins with a hash of the lossy file that it completes. The lossy file is a valid file alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from deepstd.coding.bytes import damaged
from deepstd.container.chunks import Chunk, Section, chunks_at
from deepstd.container.digest import HASH_BYTES
from deepstd.container.format import PREAMBLE, ChunkType, encode_chunk
from deepstd.errors import DamagedError

_LINK_BYTES = 8


@dataclass(frozen=True)
class ExactPart:
    """Exact part of a layered file: the voxels that its lossy part lacks.

    Attributes:
        link: first bytes of the SHA-256 of the lossy file.
        payload: coded voxels, or their differences to what is predicted of the lossy file.
        digest: hash of payload and exact voxels.
        sections: its two chunks, by their place in the file.
    """

    link: bytes
    payload: bytes
    digest: bytes
    sections: tuple[Section, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the exact part in a layered file."""
        return sum(section.nbytes for section in self.sections)

    def check(self, decoded: bytes, name: str) -> None:
        """Check the SHA-256 of the exact voxels against the hash.

        Raises:
            DamagedError: the exact part does not give what was encoded.
        """
        if _hash_of(self.link, self.payload, decoded) != self.digest:
            raise DamagedError(
                f"{name} is damaged: its exact part does not decode to what was encoded"
            )


def exact_part(lossy: bytes | memoryview, payload: bytes, decoded: bytes) -> bytes:
    """Return the bytes of an exact part, which follow those of the lossy file.

    Args:
        lossy: the whole lossy file.
        payload: coded voxels or differences.
        decoded: SHA-256 of the exact voxels.
    """
    link = _link_to(lossy)
    digest = _hash_of(link, payload, decoded)
    return encode_chunk(ChunkType.RESI, link + payload) + encode_chunk(ChunkType.HASH, digest)


def read_exact_part(data: bytes | memoryview, start: int, name: str) -> ExactPart:
    """Read the exact part of a layered file.

    Args:
        data: the whole file.
        start: bytes of the lossy file.
        name: name of the file, for messages.

    Raises:
        ContainerError: the bytes behind the lossy file are no exact part, or not of this file.
    """
    found = _read(data, start, name)
    if found.link != _link_to(memoryview(data)[:start]):
        raise damaged(name, "its exact part belongs to another file")
    return found


def exact_part_alone(data: bytes | memoryview, start: int) -> bytes:
    """Return the file of an exact part alone.

    Args:
        data: the layered file.
        start: bytes of the lossy file that it begins with.
    """
    return PREAMBLE + bytes(data[start:])


def joined(lossy: bytes, alone: bytes, name: str) -> bytes:
    """Return the layered file of a lossy file and an exact part in a file of its own.

    Args:
        lossy: bytes of the lossy file.
        alone: bytes of the file of the exact part.
        name: name of that file, for messages.

    Raises:
        ContainerError: the exact part is damaged, or belongs to another file.
    """
    if not alone.startswith(PREAMBLE + bytes([ChunkType.RESI])):
        raise damaged(name, "expected an exact part, as `deepstd strip --keep-residual` writes it")
    _read(alone, len(PREAMBLE), name)
    data = lossy + alone[len(PREAMBLE) :]
    read_exact_part(data, len(lossy), name)
    return data


def _read(data: bytes | memoryview, start: int, name: str) -> ExactPart:
    if memoryview(data)[start : start + 1] != bytes([ChunkType.RESI]):
        raise damaged(name, f"{len(data) - start} bytes follow its end")
    chunks: Iterator[Chunk] = chunks_at(data, start, name)
    residual, end = next(chunks), next(chunks)
    stop = end.section.offset + end.section.nbytes
    if end.type is not ChunkType.HASH or len(end.payload) != HASH_BYTES or stop != len(data):
        raise damaged(name, "its exact part does not end with a hash")
    if len(residual.payload) <= _LINK_BYTES:
        raise damaged(name, "its exact part is empty")
    link, payload = residual.payload[:_LINK_BYTES], residual.payload[_LINK_BYTES:]
    return ExactPart(link, payload, end.payload, (residual.section, end.section))


def _link_to(lossy: bytes | memoryview) -> bytes:
    return hashlib.sha256(lossy).digest()[:_LINK_BYTES]


def _hash_of(link: bytes, payload: bytes, decoded: bytes) -> bytes:
    return hashlib.sha256(link + payload + decoded).digest()[:HASH_BYTES]
