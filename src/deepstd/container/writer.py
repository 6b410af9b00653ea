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

from deepstd.container.digest import FrameChunks, hash_of
from deepstd.container.format import PREAMBLE, ChunkType, encode_chunk
from deepstd.container.head import Head, pack_dtype


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


def write_container(
    head: Head,
    source_header: bytes,
    frames: Sequence[FrameChunks],
    decoded: bytes,
    wiener: bytes | None = None,
    about: About = NOTHING_MORE,
) -> bytes:
    """Return the bytes of a whole .dstd file.

    Args:
        head: contents of the HEAD chunk.
        source_header: result of `pack_source_header`; empty where there is no header to keep.
        frames: payloads of each frame of ``head.shape``.
        decoded: SHA-256 of the correctly decoded symbols; empty where there are none.
        wiener: payload of the Wiener filter of all frames; None for none.
        about: notes and smallest type.

    Raises:
        ValueError: the number of frames is wrong.
    """
    if len(frames) != head.frame_count:
        raise ValueError(f"expected {head.frame_count} frames, got {len(frames)}")
    coded = [chunk for frame in frames for chunk in frame.chunks()]
    if wiener is not None:
        coded.append((ChunkType.WIEN, wiener))
    return _file(head, source_header, about, coded, decoded)


def write_exact_container(
    head: Head,
    source_header: bytes,
    exact: bytes,
    decoded: bytes,
    about: About = NOTHING_MORE,
) -> bytes:
    """Return the bytes of a whole lossless .dstd file.

    Args:
        head: contents of the HEAD chunk.
        source_header: result of `pack_source_header`; empty where there is no header to keep.
        exact: EXAC chunk: all voxels.
        decoded: SHA-256 of the voxels.
        about: notes and smallest type.
    """
    return _file(head, source_header, about, [(ChunkType.EXAC, exact)], decoded)


def _file(
    head: Head,
    source_header: bytes,
    about: About,
    coded: list[tuple[ChunkType, bytes]],
    decoded: bytes,
) -> bytes:
    """Return a whole file of a description and the chunks of its voxels."""
    parts = [PREAMBLE, encode_chunk(ChunkType.HEAD, head.pack())]
    if source_header:
        parts.append(encode_chunk(ChunkType.SRCH, source_header))
    if about.notes:
        parts.append(encode_chunk(ChunkType.NOTE, about.notes))
    if about.smallest is not None:
        parts.append(encode_chunk(ChunkType.TYPE, bytes([pack_dtype(about.smallest)])))
    parts += [encode_chunk(kind, payload) for kind, payload in coded]
    parts.append(encode_chunk(ChunkType.HASH, hash_of(head, source_header, coded, decoded)))
    return b"".join(parts)
