"""The file of an encoding, put together as often as the search for a size asks.

volume, bundle ─▶ head, original header, specials ┬▶ .dstd file, its size
             shapes, textures, quality of an encoding ┘
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deepstd.codec.frames import are_nonnegative, limits
from deepstd.codec.smallest_type import smallest_type
from deepstd.container import (
    LATENTS_DIGEST_BYTES,
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
from deepstd.rate.start import Point
from deepstd.rate.target import in_words
from deepstd.shape.conditioning import Conditioning
from deepstd.shape.register import ShapeReport, on_average
from deepstd.special_values import Specials, payloads
from deepstd.texture.codec import Encoded, Encoder, squared_error
from deepstd.texture.filters.wiener_fit import RestoredFrame
from deepstd.volume import Volume

NO_QUALITY = Quality(math.nan, math.nan, math.nan, math.nan)
# Of a file, that may go to telling how registration went.
_REGISTRATION_SHARE = 0.005
# Of what the header and special values leave of a file, that may go to notes.
_NOTES_SHARE = 0.125


@dataclass(frozen=True)
class FrameShape:
    """The shape part of one frame: conditioning as a decoder gets it, its bytes, its report."""

    conditioning: Conditioning | None
    payload: bytes | None
    report: ShapeReport | None


@dataclass(frozen=True)
class EncodedScan:
    """One way to encode a scan: quantiser and payloads. Its error is that before the filter."""

    point: Point
    shapes: list[FrameShape]
    encoders: list[Encoder]
    texture: list[Encoded]
    wiener: bytes | None = None

    @cached_property
    def error(self) -> float:
        """Mean squared error of the restored values, in grey values."""
        errors = [
            squared_error(encoder, texture, self.point.step_code)
            for encoder, texture in zip(self.encoders, self.texture, strict=True)
        ]
        return float(np.mean(errors))


class FileBuilder:
    """Makes the files of one scan.

    Args:
        volume: the scan.
        bundle: that its files are decoded with.
        parts: of each frame, finite values and what was special among them.
        allowed: bytes of a file.
        notes: what a user should know of the scan, in sentences.
    """

    def __init__(
        self,
        volume: Volume,
        bundle: BundleRef,
        parts: Sequence[tuple[np.ndarray, Specials | None]],
        allowed: int,
        notes: Sequence[str],
    ) -> None:
        self._volume, self._bundle, self._allowed = volume, bundle, allowed
        self._nonnegative = are_nonnegative((v for v, _ in parts), volume.voxels.dtype)
        self._header = pack_source_header(volume.source, volume.shape, volume.voxels.dtype)
        self._specials = [specials for _, specials in parts]
        self._payloads = payloads(self._specials)
        room = allowed - len(self._header) - sum(len(payload or b"") for payload in self._payloads)
        kept = pack_notes(notes, int(_NOTES_SHARE * room))
        self._about = About(kept, smallest_type(volume.voxels))

    @property
    def fixed_bytes(self) -> int:
        """About how many bytes of a file do not depend on the encoding."""
        specials = sum(len(payload or b"") for payload in self._payloads)
        return len(self._header) + specials + len(self._about.notes)

    def file(
        self,
        shapes: Sequence[FrameShape],
        encoded: Sequence[Encoded],
        wiener: bytes | None,
        quality: Quality,
        latents: bytes,
    ) -> bytes:
        """A whole file.

        Args:
            shapes, encoded: of every frame.
            wiener: the filter that they go through in the end, or None.
            quality: of the decoded scan.
            latents: hash of what a decoder must get.
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
        )
        frames = [
            FrameChunks(t.payload, s.payload, t.tiles, p)
            for t, s, p in zip(encoded, shapes, self._payloads, strict=True)
        ]
        return write_container(head, self._header, frames, latents, wiener, self._about)

    def size(
        self, shapes: Sequence[FrameShape], encoded: Sequence[Encoded], wiener: bytes | None
    ) -> int:
        """Bytes of a file; its figures of quality take as many whatever they are."""
        return len(self.file(shapes, encoded, wiener, NO_QUALITY, bytes(LATENTS_DIGEST_BYTES)))

    def restored(self, encoding: EncodedScan) -> list[RestoredFrame]:
        """Frames as a decoder restores them before the filter, beside the true ones."""
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

    def describe(self, nbytes: int) -> str:
        """Return a size in the words of the options that ask for it."""
        return in_words(nbytes, self._volume.voxels.size, self._volume.nbytes)

    def _registration(self, shapes: Sequence[FrameShape]) -> Registration | None:
        """What the file tells of its fields, where there is room for it."""
        reports = [shape.report for shape in shapes if shape.report is not None]
        room = self._allowed >= REGISTRATION_BYTES / _REGISTRATION_SHARE
        return on_average(reports) if reports and room else None
