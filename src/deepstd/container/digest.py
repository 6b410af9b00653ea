"""Hash at the end of a .dstd file, over everything that decides a voxel.

    HEAD without figures, other chunks that decide voxels ┬ SHA-256 ─▶ HASH, 4 bytes
    what was decoded: symbols, voxels or nothing ─────────┘

A checksum tells a damaged chunk. The hash tells chunks that were exchanged behind good checksums,
and decoders that compute otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from deepstd.coding.bytes import encode_varint
from deepstd.container.format import ChunkType
from deepstd.container.head import Head

HASH_BYTES = 4


@dataclass(frozen=True)
class FrameChunks:
    """Payloads of one frame.

    Attributes:
        texture: TEXT chunk: first part of the texture stream.
        shape: SHAP chunk: the deformation field; None where the frame has none.
        tiles: TILE chunks: further texture payloads, decoded independently of each other.
        specials: SPCL chunk: special values; None where there are none.
    """

    texture: bytes
    shape: bytes | None = None
    tiles: Sequence[bytes] = ()
    specials: bytes | None = None

    def chunks(self) -> Iterable[tuple[ChunkType, bytes]]:
        """Yield type and payload of each chunk, in the order of the file."""
        if self.specials is not None:
            yield ChunkType.SPCL, self.specials
        if self.shape is not None:
            yield ChunkType.SHAP, self.shape
        yield ChunkType.TEXT, self.texture
        for tile in self.tiles:
            yield ChunkType.TILE, tile


def hash_of(
    head: Head, source_header: bytes, coded: Iterable[tuple[ChunkType, bytes]], decoded: bytes
) -> bytes:
    """Return the payload of the HASH chunk.

    Figures of quality and registration, the goal, notes and the smallest type decide no voxel.

    Args:
        head: contents of the HEAD chunk.
        source_header: payload of the SRCH chunk; empty where there is none.
        coded: type and payload of the chunks of voxels, in the order of the file.
        decoded: SHA-256 of the decoded symbols or voxels; empty where there are none.
    """
    described = replace(head, quality=None, registration=None, goal=None).pack()
    digest = hashlib.sha256()
    for kind, payload in ((ChunkType.HEAD, described), (ChunkType.SRCH, source_header), *coded):
        digest.update(bytes([kind]) + encode_varint(len(payload)))
        digest.update(payload)
    digest.update(decoded)
    return digest.digest()[:HASH_BYTES]
