"""Constant scans and scans of special values alone, which need no network.

Volume ─ special values of each frame ─▶ .dstd file without texture ─▶ Volume
"""

from __future__ import annotations

import math

import numpy as np

from deepstd import io, special_values
from deepstd.codec.compressed import Compressed
from deepstd.codec.frames import frames_of
from deepstd.codec.sampling import grid_of
from deepstd.container import (
    NO_BUNDLE,
    About,
    Beginning,
    Container,
    FrameChunks,
    Head,
    pack_notes,
    pack_source_header,
    write_container,
)
from deepstd.errors import DamagedError, RateError
from deepstd.quality import Quality
from deepstd.rate.target import Target, in_words
from deepstd.special_values import Specials
from deepstd.volume import Volume

NO_SYMBOLS = b""
"""Symbols of a file without texture: none."""


def is_without_texture(container: Beginning) -> bool:
    """Return True if no frame of a file has a texture: all voxels are special values."""
    return container.exact is None and not any(frame.texture for frame in container.frames)


def encode(volume: Volume, target: Target) -> Compressed | None:
    """Compress a scan of special values alone; return None for any other scan.

    Args:
        volume: scan of 2 to 4 axes.
        target: largest size; the file usually takes a few dozen bytes.

    Raises:
        InputError: the scan's header does not fit its voxels.
        RateError: the file is larger than the target.
    """
    found: list[Specials] = []
    for frame in frames_of(volume):
        # The first voxels of most scans differ, which saves time and memory.
        special = None if _varies(frame) else special_values.find(frame)
        if special is None or not special.labels.all():
            return None
        found.append(special)
    volume = io.with_own_header(volume)
    measured = any(math.isfinite(value) for special in found for value in special.values)
    quality = Quality(0.0, 0.0, math.inf, 1.0) if measured else Quality(*[math.nan] * 4)
    dtype = volume.voxels.dtype
    head = Head(
        *(volume.source.format, dtype, volume.shape, NO_BUNDLE, quality),
        source_nbytes=volume.source_nbytes,
    )
    header = pack_source_header(volume.source, volume.shape, dtype)
    frames = [FrameChunks(b"", specials=packed) for packed in special_values.payloads(found)]
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    data = write_container(head, header, frames, NO_SYMBOLS)
    notes = pack_notes(volume.notes, max(allowed - len(data), 0))
    with_notes = write_container(head, header, frames, NO_SYMBOLS, about=About(notes))
    data = with_notes if len(with_notes) <= allowed else data
    if len(data) > allowed:
        needed = in_words(len(data), volume.voxels.size, volume.nbytes)
        raise RateError(
            f"cannot make the file that small: {allowed} bytes were asked for and {len(data)} are "
            f"needed. Ask for {needed}."
        )
    return Compressed(data, quality, 0.0, (), 0, 0)


def _varies(frame: np.ndarray) -> bool:
    """Return True if the first voxels of a frame have several finite values."""
    first = frame[(slice(2),) * frame.ndim].reshape(-1)
    finite = first[np.isfinite(first)]
    return bool((finite != finite[:1]).any())


def decode(container: Beginning, level: int = 0) -> Volume:
    """Restore a scan without texture, or a preview of it.

    Args:
        container: parsed file without texture.
        level: 0 for the whole scan, n for every 2ⁿ-th voxel along each axis.

    Raises:
        DamagedError: a voxel has no special value, or the payload is malformed.
        InputError: the scan has fewer levels.
    """
    head, grid = container.head, grid_of(container, level)
    if isinstance(container, Container):
        container.check(NO_SYMBOLS)
    shape, kept = head.shape[:3], grid.shape[:3]
    voxels = np.empty(grid.shape, dtype=head.dtype)
    special: Specials | None = None
    for number, chunks in enumerate(container.frames):
        special = special_values.unpacked(chunks.specials, special, shape, container.name)
        if special is None or not special.labels.all():
            raise DamagedError(f"{container.name} is damaged: a frame has no texture")
        frame = special.subsampled(grid.factors).restore(np.zeros(kept, head.dtype))
        voxels[(..., number) if len(head.shape) == 4 else ...] = frame
    return grid.volume(voxels)
