"""Assembly of the files of a scan: one for each encoding of the search for a size.

volume, bundle ─▶ header, original header, special values ┬▶ .dstd file, its size
    deformation fields, textures, quality of an encoding ─┘
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from deepstd import io
from deepstd.codec.frames import are_nonnegative, limits, stored
from deepstd.codec.shape_stage import FrameShape
from deepstd.codec.smallest_type import smallest_type
from deepstd.container import (
    REGISTRATION_BYTES,
    About,
    BundleRef,
    FrameChunks,
    Head,
    Registration,
    pack_notes,
    pack_source_header,
    write_container,
)
from deepstd.quality import Quality
from deepstd.rate.goal import QualityGoal
from deepstd.rate.start import Point
from deepstd.rate.target import in_words
from deepstd.rate.tradeoff import rd_cost
from deepstd.shape.register import on_average
from deepstd.special_values import Specials, payloads
from deepstd.texture.codec import Encoded, Encoder, squared_error
from deepstd.texture.filters.wiener_fit import RestoredFrame
from deepstd.volume import Volume

NO_QUALITY = Quality(math.nan, math.nan, math.nan, math.nan)
# Largest share of a file for the registration report.
_REGISTRATION_SHARE = 0.005
# Largest share for notes of the bytes that header and special values leave.
_NOTES_SHARE = 0.125


@dataclass(frozen=True)
class EncodedScan:
    """An encoded scan.

    Attributes:
        point: quantiser and bytes of the file.
        shapes: shape part of each frame.
        encoders: texture encoder of each frame.
        texture: encoded texture of each frame.
        wiener: packed adaptive loop filter, or None.
    """

    point: Point
    shapes: list[FrameShape]
    encoders: list[Encoder]
    texture: list[Encoded]
    wiener: bytes | None = None

    @cached_property
    def error(self) -> float:
        """Mean squared error before the adaptive loop filter, in squared grey values."""
        errors = [
            squared_error(encoder, texture, self.point.step_code)
            for encoder, texture in zip(self.encoders, self.texture, strict=True)
        ]
        return float(np.mean(errors))

    @property
    def cost(self) -> float:
        """Rate-distortion cost of the file."""
        return rd_cost(self.error, self.point.nbytes)


@dataclass(frozen=True)
class Streams:
    """Streams that a file has of an encoded texture.

    Attributes:
        payload: header and first stream.
        tiles: streams of the tiles.
    """

    payload: bytes
    tiles: tuple[bytes, ...]

    @staticmethod
    def of(encoded: Encoded) -> Streams:
        """Return the streams of an encoded texture."""
        return Streams(encoded.payload, tuple(encoded.tiles))

    @property
    def nbytes(self) -> int:
        """Bytes of all streams, without chunk framing."""
        return len(self.payload) + sum(map(len, self.tiles))


class FileBuilder:
    """Builder of the files of one scan.

    Args:
        volume: the scan.
        bundle: bundle that decodes its files.
        parts: finite values and special values of each frame.
        allowed: most bytes of a file.
        notes: notes on the scan for the user, in sentences.
        goal: quality that the file states as asked for, or None.
    """

    def __init__(
        self,
        volume: Volume,
        bundle: BundleRef,
        parts: Sequence[tuple[np.ndarray, Specials | None]],
        allowed: int,
        notes: Sequence[str],
        goal: QualityGoal | None = None,
    ) -> None:
        self._volume, self._bundle, self._allowed = volume, bundle, allowed
        self.goal = goal
        self._nonnegative = are_nonnegative((v for v, _ in parts), volume.voxels.dtype)
        self._header = pack_source_header(volume.source, volume.shape, volume.voxels.dtype)
        self._specials = [specials for _, specials in parts]
        self._payloads = payloads(self._specials)
        room = allowed - len(self._header) - sum(len(payload or b"") for payload in self._payloads)
        self._notes, self._room = tuple(notes), int(_NOTES_SHARE * room)
        self._about = About(pack_notes(notes, self._room), smallest_type(volume.voxels))

    @property
    def fixed_bytes(self) -> int:
        """Approximate bytes of a file that do not depend on the encoding."""
        specials = sum(len(payload or b"") for payload in self._payloads)
        return len(self._header) + specials + len(self._about.notes)

    def add_notes(self, notes: Sequence[str]) -> None:
        """Add notes to the later files, behind those given at first."""
        kept = pack_notes((*self._notes, *notes), self._room)
        self._about = replace(self._about, notes=kept)

    def file(
        self,
        shapes: Sequence[FrameShape],
        encoded: Sequence[Encoded] | Sequence[Streams],
        wiener: bytes | None,
        quality: Quality,
        symbols: bytes,
    ) -> bytes:
        """Return the bytes of a file.

        Args:
            shapes, encoded: shape part and encoded texture of every frame.
            wiener: packed adaptive loop filter, or None.
            quality: quality of the decoded scan.
            symbols: SHA-256 of the symbols.
        """
        volume = self._volume
        head = Head(
            volume.source.format,
            volume.voxels.dtype,
            volume.shape,
            self._bundle,
            quality,
            self._registration(shapes),
            self._nonnegative,
            volume.source_nbytes,
            self.goal,
        )
        frames = [
            FrameChunks(t.payload, s.payload, t.tiles, p)
            for t, s, p in zip(encoded, shapes, self._payloads, strict=True)
        ]
        return write_container(head, self._header, frames, symbols, wiener, self._about)

    def size(
        self, shapes: Sequence[FrameShape], encoded: Sequence[Encoded], wiener: bytes | None
    ) -> int:
        """Return the size of a file in bytes.

        The quality fields have a fixed size, so placeholders give the exact size.
        """
        return len(self.file(shapes, encoded, wiener, NO_QUALITY, b""))

    def restored(self, encoding: EncodedScan) -> list[RestoredFrame]:
        """Return the restored frames before the adaptive loop filter, with the true values."""
        code = encoding.point.step_code
        bounds = limits(self._volume.voxels.dtype, nonnegative=self._nonnegative)
        frames = zip(encoding.encoders, encoding.texture, self._specials, strict=True)
        return [
            RestoredFrame(
                encoder.restored(texture, code),
                encoder.values,
                encoder.scaling.step(code),
                encoder.scaling.offset,
                bounds,
                None if specials is None else specials.mask.reshape(encoder.shape),
            )
            for encoder, texture, specials in frames
        ]

    def voxels(
        self, encoding: EncodedScan, filtered: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return the voxels that a decoder restores, except for the last bits of floats.

        Args:
            encoding: an encoding whose encoders were not used since.
            filtered: applies the adaptive loop filter to a frame in steps.
        """
        dtype, shape = self._volume.voxels.dtype, self._volume.shape
        voxels = np.empty(shape, dtype)
        frames = zip(self.restored(encoding), self._specials, strict=True)
        for number, (frame, specials) in enumerate(frames):
            steps = filtered(frame.steps).reshape(shape[:3])
            grey = steps, frame.step, frame.offset
            voxels[(..., number) if len(shape) == 4 else ...] = stored(
                *grey, dtype, specials, nonnegative=self._nonnegative
            )
        return io.requantised(replace(self._volume, voxels=voxels)).voxels

    def describe(self, nbytes: int) -> str:
        """Return a text that states a size in bytes by the options that request it."""
        return in_words(nbytes, self._volume.voxels.size, self._volume.nbytes)

    def _registration(self, shapes: Sequence[FrameShape]) -> Registration | None:
        """Return the mean registration report of the frames, or None.

        None stands for scans without deformation fields and for files too small for a report.
        """
        reports = [shape.report for shape in shapes if shape.report is not None]
        room = self._allowed >= REGISTRATION_BYTES / _REGISTRATION_SHARE
        return on_average(reports) if reports and room else None
