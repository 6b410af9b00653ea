"""Writer of .dstd files.

    preamble · HEAD · [SRCH] · [NOTE] · [TYPE]
    · ( [SPCL] · [SHAP] · TEXT · TILE … ) per frame · [WIEN] · HASH
    preamble · HEAD · [SRCH] · [NOTE] · [TYPE] · EXAC · HASH, for a lossless file

Payloads are opaque here; docs/format.md specifies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.container.format import PREAMBLE, ChunkType, encode_chunk
from deepstd.container.head import Head, pack_dtype

LATENTS_DIGEST_BYTES = 4


@dataclass(frozen=True)
class About:
    """Information on a scan that no decoder needs.

    Attributes:
        notes: result of `pack_notes`; empty where there are none.
        smallest: smallest type that holds every voxel; None where it is the stored type.
    """

    notes: bytes = b""
    smallest: np.dtype | None = None


NOTHING_MORE = About()


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


def write_container(
    head: Head,
    source_header: bytes,
    frames: Sequence[FrameChunks],
    latents_digest: bytes,
    wiener: bytes | None = None,
    about: About = NOTHING_MORE,
) -> bytes:
    """Return the bytes of a whole .dstd file.

    Args:
        head: contents of the HEAD chunk.
        source_header: result of `pack_source_header`; empty where there is no header to keep.
        frames: payloads of each frame of ``head.shape``.
        latents_digest: first 4 bytes of the SHA-256 of the correctly decoded latents.
        wiener: payload of the Wiener filter of all frames; None for none.
        about: notes and smallest type.

    Raises:
        ValueError: the number of frames or the length of the digest is wrong.
    """
    if len(frames) != head.frame_count:
        raise ValueError(f"expected {head.frame_count} frames, got {len(frames)}")
    parts = _description(head, source_header, about)
    for frame in frames:
        if frame.specials is not None:
            parts.append(encode_chunk(ChunkType.SPCL, frame.specials))
        if frame.shape is not None:
            parts.append(encode_chunk(ChunkType.SHAP, frame.shape))
        parts.append(encode_chunk(ChunkType.TEXT, frame.texture))
        parts.extend(encode_chunk(ChunkType.TILE, tile) for tile in frame.tiles)
    if wiener is not None:
        parts.append(encode_chunk(ChunkType.WIEN, wiener))
    return b"".join((*parts, _hash(latents_digest)))


def write_exact_container(
    head: Head,
    source_header: bytes,
    exact: bytes,
    voxels_digest: bytes,
    about: About = NOTHING_MORE,
) -> bytes:
    """Return the bytes of a whole lossless .dstd file.

    Args:
        head: contents of the HEAD chunk.
        source_header: result of `pack_source_header`; empty where there is no header to keep.
        exact: EXAC chunk: all voxels.
        voxels_digest: first 4 bytes of the SHA-256 of the voxels.
        about: notes and smallest type.

    Raises:
        ValueError: the length of the digest is wrong.
    """
    parts = _description(head, source_header, about)
    return b"".join((*parts, encode_chunk(ChunkType.EXAC, exact), _hash(voxels_digest)))


def _description(head: Head, source_header: bytes, about: About) -> list[bytes]:
    """Return the preamble and the chunks before those of the frames."""
    parts = [PREAMBLE, encode_chunk(ChunkType.HEAD, head.pack())]
    if source_header:
        parts.append(encode_chunk(ChunkType.SRCH, source_header))
    if about.notes:
        parts.append(encode_chunk(ChunkType.NOTE, about.notes))
    if about.smallest is not None:
        parts.append(encode_chunk(ChunkType.TYPE, bytes([pack_dtype(about.smallest)])))
    return parts


def _hash(digest: bytes) -> bytes:
    """Return the HASH chunk."""
    if len(digest) != LATENTS_DIGEST_BYTES:
        raise ValueError(f"a digest has {LATENTS_DIGEST_BYTES} bytes, got {len(digest)}")
    return encode_chunk(ChunkType.HASH, digest)
