"""Lossless files, and files that bound the error of every voxel; they need no bundle.

Volume ─ lossless ─ EXAC chunk, hash of the voxels ─▶ .dstd file ─ DECODE AGAIN, compare ─▶ bytes
         DICOM slices on different scales: values as the files store them
.dstd file ─ lossless ─▶ voxels ─ hash ─▶ Volume, or every 2ⁿ-th voxel as a preview
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from deepstd import io, lossless
from deepstd.codec.compressed import Compressed
from deepstd.codec.sampling import grid_of
from deepstd.codec.smallest_type import smallest_type
from deepstd.codec.uniform import UniformQuantiser, largest_error
from deepstd.coding.bytes import Cursor
from deepstd.container import (
    NO_BUNDLE,
    About,
    Beginning,
    Coding,
    Container,
    Head,
    pack_notes,
    pack_source_header,
    parse,
    write_exact_container,
)
from deepstd.errors import DeepSTDError, InputError
from deepstd.progress import Progress
from deepstd.quality import Quality, measure, rmse
from deepstd.rate.bound import ErrorBound
from deepstd.rate.goal import QualityGoal
from deepstd.volume import SourceHeader, Volume

EXACT = Quality(0.0, 0.0, math.inf, 1.0)
"""Quality of a scan whose voxels all come back."""
UNDEFINED = Quality(math.nan, math.nan, math.nan, math.nan)
"""Quality of a scan without finite voxels, whose errors do not exist."""
# Bytes of voxels that are brought into the order of the hash at a time.
_BLOCK_BYTES = 1 << 24
# More than notes ever take; a lossless file has no size to keep to.
_MOST_NOTE_BYTES = 1 << 16


def encode(
    volume: Volume,
    progress: Progress,
    bound: ErrorBound | None = None,
    goal: QualityGoal | None = None,
) -> Compressed:
    """Compress a scan to a lossless file or to one of bounded error, and check what comes back.

    Args:
        volume: scan of 2 to 4 axes.
        progress: progress of the job, with the parts "encode texture" and "encode check".
        bound: largest error of a voxel; None for a lossless file. A scan that only exact voxels
            keep within the bound becomes lossless, too.
        goal: quality that the file states as asked for, where there is no bound.

    Raises:
        InputError: the scan's header does not fit its voxels, or its reader could not keep every
            stored value.
        DeepSTDError: a voxel does not come back as it should, which is an error of this program.
    """
    volume = io.with_own_header(volume)
    voxels = expected = volume.voxels
    stored = io.stored_values(volume)
    largest, quantiser, quality = 0.0, None, EXACT
    if bound is not None:
        goal = goal_of(bound, volume)
    if bound is not None and stored is None:
        largest = bound.stored(_span(voxels), io.scale_of(volume.source)[0])
        quantiser = UniformQuantiser.within(voxels, largest)
    if quantiser is None:
        check_kept(volume)
    progress("compressing every voxel")
    with progress.timed("encode texture"):
        if quantiser is not None:
            beginning, coded = bytes([Coding.STEPS]) + quantiser.pack(), quantiser.codes(voxels)
            expected = quantiser.voxels(coded, voxels.dtype)
            quality = measure(voxels, expected)
        elif stored is not None:
            beginning, coded = bytes([Coding.STORED]), stored
        else:
            beginning, coded = bytes([Coding.VOXELS]), voxels
        payload = beginning + lossless.encode(coded, may_be_labels=quantiser is None)
    quality = quality if _has_finite(voxels) else UNDEFINED
    head = Head(
        *(volume.source.format, voxels.dtype, volume.shape, NO_BUNDLE, quality),
        source_nbytes=volume.source_nbytes,
        goal=goal,
    )
    header = pack_source_header(volume.source, volume.shape, voxels.dtype)
    about = About(pack_notes(volume.notes, _MOST_NOTE_BYTES), smallest_type(voxels))
    data = write_exact_container(head, header, payload, digest_of(expected), about)
    progress("decoding to verify every voxel")
    with progress.timed("encode check"):
        restored = decode(parse(data, "the new file")).voxels
    kept = quantiser is None or largest_error(voxels, restored) <= largest
    if not (same_bits(expected, restored) and kept):
        raise DeepSTDError(
            "the scan does not come back as it should, which is an error of this program: please "
            "report it with the output of `deepstd doctor`. Ask for a size instead (--ratio 4)"
        )
    error = 0.0 if quantiser is None else rmse(voxels, restored)
    return Compressed(data, quality, error * error, (), 0, len(payload))


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
    coded = CodedVoxels.read(container.exact, head, grid.source, container.name)
    voxels = coded.voxels(
        lossless.decode(coded.payload, head.shape, coded.dtype, container.name), grid.source
    )
    if isinstance(container, Container):
        container.check(digest_of(voxels))
    # A copy, so that the voxels that a preview leaves out do not stay in memory.
    kept = voxels[tuple(slice(None, None, f) for f in grid.factors)].copy() if level else voxels
    return grid.volume(kept)


@dataclass(frozen=True)
class CodedVoxels:
    """Contents of an EXAC chunk.

    Attributes:
        payload: exactly coded values.
        dtype: type of these values.
        way: what they are.
        quantiser: steps of the voxels, where the values are codes.
        stored: type of the voxels.
    """

    payload: bytes
    dtype: np.dtype
    way: Coding
    quantiser: UniformQuantiser | None
    stored: np.dtype

    @staticmethod
    def read(exact: bytes, head: Head, source: SourceHeader, name: str) -> CodedVoxels:
        """Read the payload of an EXAC chunk.

        Args:
            exact: the payload.
            head: contents of the HEAD chunk.
            source: header of the original scan.
            name: name of the file, for messages.

        Raises:
            DamagedError: the way of coding does not exist for this scan.
        """
        cursor = Cursor(exact, name, "its voxels")
        way, quantiser = cursor.byte(), None
        dtype: np.dtype | None = head.dtype
        if way == Coding.STEPS and head.dtype.kind != "b":
            quantiser = UniformQuantiser.read(cursor, head.dtype)
            dtype = quantiser.type
        elif way == Coding.STORED:
            dtype = io.stored_type(source)
        if way not in tuple(Coding) or dtype is None:
            raise cursor.error(f"way of coding {way} does not exist for this scan")
        payload = cursor.take(cursor.remaining)
        return CodedVoxels(payload, dtype, Coding(way), quantiser, head.dtype)

    @property
    def of_frames(self) -> bool:
        """True where the values are those of DICOM slices on different scales."""
        return self.way == Coding.STORED

    def voxels(self, values: np.ndarray, source: SourceHeader) -> np.ndarray:
        """Return the voxels of decoded values.

        Args:
            values: values of the scan, or of a part of it.
            source: header of the scan, or of this part.
        """
        if self.quantiser is not None:
            return self.quantiser.voxels(values, self.stored)
        return io.voxels_of(values, source, self.stored) if self.of_frames else values


def check_kept(volume: Volume) -> None:
    """Raise an InputError where a scan's voxels do not hold all values that its files store."""
    if volume.loss:
        raise InputError(
            f"{volume.loss}, so it cannot be lossless. Compress its slices one by one, or ask for "
            "a size (--ratio 4)"
        )


def digest_of(voxels: np.ndarray) -> bytes:
    """Return the SHA-256 of voxels, little-endian, the first axis fastest."""
    digest = hashlib.sha256()
    little = voxels.dtype.newbyteorder("<")
    planes = voxels.T
    count = max(1, _BLOCK_BYTES // max(1, voxels.nbytes // len(planes)))
    for start in range(0, len(planes), count):
        block = np.ascontiguousarray(planes[start : start + count], dtype=little)
        digest.update(block.reshape(-1).view(np.uint8).data)
    return digest.digest()


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Return True where two arrays of one shape and type are equal bit for bit.

    NaN equals NaN of the same bits only; negative zero differs from zero.
    """
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    bits = np.dtype(f"u{one.dtype.itemsize}")
    return np.array_equal(one.view(bits), other.view(bits))


def goal_of(bound: ErrorBound, volume: Volume) -> QualityGoal | None:
    """Return a bound in real-world units, as a file states it; None where the range is 0."""
    slope = abs(io.scale_of(volume.source)[0])
    largest = bound.stored(_span(volume.voxels), slope) * slope
    return QualityGoal("max_error", largest) if 0 < largest < math.inf else None


def _has_finite(voxels: np.ndarray) -> bool:
    """Return True if a voxel is finite."""
    return voxels.dtype.kind != "f" or any(bool(np.isfinite(row).any()) for row in voxels)


def _span(voxels: np.ndarray) -> float:
    """Return the largest less the smallest finite voxel; 0 where none is finite."""
    finite = voxels[np.isfinite(voxels)] if voxels.dtype.kind == "f" else voxels
    return float(finite.max()) - float(finite.min()) if finite.size else 0.0
