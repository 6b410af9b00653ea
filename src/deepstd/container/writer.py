"""From parts to the bytes of a .dstd file.

    preamble · HEAD · [SRCH] · [NOTE] · [TYPE]
    · ( [SPCL] · [SHAP] · TEXT · TILE … ) per frame · [WIEN] · HASH

Payloads are opaque here; docs/format.md says what they hold.
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
    """What a file tells of its scan that no decoder needs.

    Attributes:
        notes: result of `pack_notes`; empty where there are none.
        smallest: smallest type that holds every voxel, where that is not the stored one.
    """

    notes: bytes = b""
    smallest: np.dtype | None = None


NOTHING_MORE = About()


@dataclass(frozen=True)
class FrameChunks:
    """Payloads of one frame.

    Attributes:
        texture: what the texture decoder reads first.
        shape: the deformation field; None where the frame has none.
        tiles: further texture payloads that decode independently of each other.
        specials: NaN, infinities and padding; None where there are none.
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
    """A whole .dstd file.

    Args:
        head: contents of the HEAD chunk.
        source_header: result of `pack_source_header`; empty where there is no header to keep.
        frames: one for each frame of ``head.shape``.
        latents_digest: first 4 bytes of the SHA-256 of the latents that a decoder must get.
        wiener: the filter that all frames go through in the end; None for none.
        about: what else the file tells of the scan.
    """
    if len(frames) != head.frame_count:
        raise ValueError(f"expected {head.frame_count} frames, got {len(frames)}")
    if len(latents_digest) != LATENTS_DIGEST_BYTES:
        raise ValueError(
            f"a latents digest has {LATENTS_DIGEST_BYTES} bytes, got {len(latents_digest)}"
        )
    parts = [PREAMBLE, encode_chunk(ChunkType.HEAD, head.pack())]
    if source_header:
        parts.append(encode_chunk(ChunkType.SRCH, source_header))
    if about.notes:
        parts.append(encode_chunk(ChunkType.NOTE, about.notes))
    if about.smallest is not None:
        parts.append(encode_chunk(ChunkType.TYPE, bytes([pack_dtype(about.smallest)])))
    for frame in frames:
        if frame.specials is not None:
            parts.append(encode_chunk(ChunkType.SPCL, frame.specials))
        if frame.shape is not None:
            parts.append(encode_chunk(ChunkType.SHAP, frame.shape))
        parts.append(encode_chunk(ChunkType.TEXT, frame.texture))
        parts.extend(encode_chunk(ChunkType.TILE, tile) for tile in frame.tiles)
    if wiener is not None:
        parts.append(encode_chunk(ChunkType.WIEN, wiener))
    parts.append(encode_chunk(ChunkType.HASH, latents_digest))
    return b"".join(parts)
