"""Lossless files: every voxel comes back bit for bit, without a bundle.

Volume ─ lossless ─ EXAC chunk, hash of the voxels ─▶ .dstd file ─ DECODE AGAIN, compare ─▶ bytes
         DICOM slices on different scales: values as the files store them
.dstd file ─ lossless ─▶ voxels ─ hash ─▶ Volume, or every 2ⁿ-th voxel as a preview
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from deepstd import io, lossless
from deepstd.codec.compressed import Compressed
from deepstd.codec.sampling import grid_of
from deepstd.codec.smallest_type import smallest_type
from deepstd.coding.bytes import Cursor
from deepstd.container import (
    LATENTS_DIGEST_BYTES,
    NO_BUNDLE,
    About,
    Beginning,
    Container,
    Head,
    pack_notes,
    pack_source_header,
    parse,
    write_exact_container,
)
from deepstd.errors import DamagedError, DeepSTDError, InputError
from deepstd.progress import Progress
from deepstd.quality import Quality
from deepstd.volume import Volume

EXACT = Quality(0.0, 0.0, math.inf, 1.0)
"""Quality of a scan whose voxels all come back."""
UNDEFINED = Quality(math.nan, math.nan, math.nan, math.nan)
"""Quality of a scan without finite voxels, whose errors do not exist."""
# First byte of the payload: what it holds.
_VOXELS, _STORED = 0, 1
# Bytes of voxels that are brought into the order of the hash at a time.
_BLOCK_BYTES = 1 << 24
# More than notes ever take; a lossless file has no size to keep to.
_MOST_NOTE_BYTES = 1 << 16


def encode(volume: Volume, progress: Progress) -> Compressed:
    """Compress a scan to a lossless file, and check that every voxel comes back.

    Args:
        volume: scan of 2 to 4 axes.
        progress: progress of the job, with the parts "encode texture" and "encode check".

    Raises:
        InputError: the scan's header does not fit its voxels, or its reader could not keep every
            stored value.
        DeepSTDError: a voxel does not come back, which is an error of this program.
    """
    check_kept(volume)
    volume = io.with_own_header(volume)
    voxels = volume.voxels
    progress("compressing every voxel exactly")
    with progress.timed("encode texture"):
        stored = io.stored_values(volume)
        way, coded = (_VOXELS, voxels) if stored is None else (_STORED, stored)
        payload = bytes([way]) + lossless.encode(coded)
    quality = EXACT if _has_finite(voxels) else UNDEFINED
    head = Head(
        *(volume.source.format, voxels.dtype, volume.shape, NO_BUNDLE, quality),
        source_nbytes=volume.source_nbytes,
    )
    header = pack_source_header(volume.source, volume.shape, voxels.dtype)
    about = About(pack_notes(volume.notes, _MOST_NOTE_BYTES), smallest_type(voxels))
    data = write_exact_container(head, header, payload, digest_of(voxels), about)
    progress("decoding to verify every voxel")
    with progress.timed("encode check"):
        restored = decode(parse(data, "the new file"))
    if not same_bits(voxels, restored.voxels):
        raise DeepSTDError(
            "the scan does not come back exactly, which is an error of this program: please report "
            "it with the output of `deepstd doctor`. Ask for a size instead (--ratio 4)"
        )
    return Compressed(data, quality, 0.0, (), 0, len(payload))


def decode(container: Beginning, level: int = 0) -> Volume:
    """Restore the scan of a lossless file, or a preview of it.

    Args:
        container: parsed file with an EXAC chunk.
        level: 0 for the whole scan, n for every 2ⁿ-th voxel along each axis.

    Raises:
        DamagedError: the payload is malformed, or the voxels are not those that were encoded.
        InputError: the scan has fewer levels.
    """
    if container.exact is None:
        raise ValueError(f"{container.name} is not lossless")
    head, grid = container.head, grid_of(container, level)
    cursor = Cursor(container.exact, container.name, "its voxels")
    way = cursor.byte()
    dtype = head.dtype if way == _VOXELS else io.stored_type(grid.source)
    if way not in (_VOXELS, _STORED) or dtype is None:
        raise cursor.error(f"way of coding {way} does not exist for this scan")
    payload = cursor.take(cursor.remaining)
    voxels = lossless.decode(payload, head.shape, dtype, container.name)
    if way == _STORED:
        voxels = io.voxels_of(voxels, grid.source, head.dtype)
    if isinstance(container, Container) and digest_of(voxels) != container.latents_digest:
        raise DamagedError(
            f"{container.name} is damaged: the decoded voxels are not those that were encoded. The "
            "file passed its checksums, so please report this with the output of `deepstd doctor`."
        )
    # A copy, so that the voxels that a preview leaves out do not stay in memory.
    kept = voxels[tuple(slice(None, None, f) for f in grid.factors)].copy() if level else voxels
    return grid.volume(kept)


def check_kept(volume: Volume) -> None:
    """Raise an InputError where a scan's voxels do not hold all values that its files store."""
    if volume.loss:
        raise InputError(
            f"{volume.loss}, so it cannot be lossless. Compress its slices one by one, or ask for "
            "a size (--ratio 4)"
        )


def digest_of(voxels: np.ndarray) -> bytes:
    """Return the first 4 bytes of the SHA-256 of voxels, little-endian, the first axis fastest."""
    digest = hashlib.sha256()
    little = voxels.dtype.newbyteorder("<")
    planes = voxels.T
    count = max(1, _BLOCK_BYTES // max(1, voxels.nbytes // len(planes)))
    for start in range(0, len(planes), count):
        block = np.ascontiguousarray(planes[start : start + count], dtype=little)
        digest.update(block.reshape(-1).view(np.uint8).data)
    return digest.digest()[:LATENTS_DIGEST_BYTES]


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Return True where two arrays of one shape and type are equal bit for bit.

    NaN equals NaN of the same bits only; negative zero differs from zero.
    """
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    bits = np.dtype(f"u{one.dtype.itemsize}")
    return np.array_equal(one.view(bits), other.view(bits))


def _has_finite(voxels: np.ndarray) -> bool:
    """Return True if a voxel is finite."""
    return voxels.dtype.kind != "f" or any(bool(np.isfinite(row).any()) for row in voxels)
