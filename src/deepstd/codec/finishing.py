"""Finishing of a file: the scan is judged, the file decoded, and its quality written.

best encoding ─ guard ─▶ note, if unfamiliar ─ decode ─ measure ─▶ Compressed
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepstd.bundle.familiarity import ValidationStatistics
from deepstd.codec import decoder
from deepstd.codec.compressed import Compressed
from deepstd.codec.file_builder import NO_QUALITY, EncodedScan, FileBuilder, Streams
from deepstd.codec.guard import Coded, judged, note_of
from deepstd.codec.model import Model
from deepstd.codec.regions import largest_error
from deepstd.codec.shape_stage import FrameShape
from deepstd.container import parse
from deepstd.errors import RateError
from deepstd.findings import Familiarity, Protected
from deepstd.progress import Progress
from deepstd.quality import measure, rmse
from deepstd.volume import Volume


@dataclass(frozen=True)
class Judged:
    """A judged scan, and what its file holds.

    Attributes:
        familiarity: comparison with the validation scans of the bundle.
        notes: notes on the comparison.
        shapes: shape part of each frame.
        texture: streams of each frame.
        wiener: packed adaptive loop filter, or None.
        symbols: SHA-256 of the symbols.
    """

    familiarity: Familiarity
    notes: tuple[str, ...]
    shapes: list[FrameShape]
    texture: list[Streams]
    wiener: bytes | None
    symbols: bytes


@dataclass(frozen=True)
class Finishing:
    """Finisher of the file of a scan, given an encoding of it.

    Attributes:
        model: networks and template of the bundle.
        volume: the scan.
        builder: builder of its files.
        known: statistics of the bundle's validation scans; None for a bundle without.
        allowed: most bytes of the file.
        fitted: registration of each frame, whether the file keeps it or not; empty without.
        affine: voxel-to-world matrix, (4, 4), or None.
        notes: notes on the encoding so far.
        progress: progress of the job, with the part "encode check".
    """

    model: Model
    volume: Volume
    builder: FileBuilder
    known: ValidationStatistics | None
    allowed: int
    fitted: Sequence[FrameShape]
    affine: np.ndarray | None
    notes: tuple[str, ...]
    progress: Progress

    def judged(
        self,
        result: EncodedScan,
        again: Callable[[], EncodedScan],
        done: Protected | None = None,
    ) -> Judged:
        """Judge the scan, and keep the streams alone of its encoding.

        Args:
            result: the best encoding.
            again: searches the size again, where a note takes room.
            done: regions that were protected, or None.
        """
        coded = Coded.of(result, self.fitted, self.affine)
        familiarity = replace(judged(self.known, coded), protected=done)
        note = note_of(familiarity, self.model.bundle.manifest.name)
        notes = () if note is None else (note,)
        result = self._with_room(result, notes, again)
        symbols = hashlib.sha256(b"".join(t.latents for t in result.texture)).digest()
        texture = [Streams.of(encoded) for encoded in result.texture]
        return Judged(familiarity, notes, result.shapes, texture, result.wiener, symbols)

    def finish(self, ready: Judged) -> Compressed:
        """Decode the file, and write the quality into its header."""
        self.progress("decoding to measure the error")
        parts = ready.shapes, ready.texture, ready.wiener
        data = self.builder.file(*parts, NO_QUALITY, ready.symbols)
        with self.progress.timed("encode check"):
            restored = decoder.decode(self.model, parse(data, "the new file")).voxels
        original = self.volume.voxels
        quality, error = measure(original, restored), rmse(original, restored)
        region = largest_error(original, restored, self.affine)
        return Compressed(
            self.builder.file(*parts, quality, ready.symbols),
            quality,
            error * error,
            tuple(s.report for s in ready.shapes),
            sum(len(s.payload or b"") for s in ready.shapes),
            sum(t.nbytes for t in ready.texture),
            (*self.notes, *ready.notes),
            familiarity=replace(ready.familiarity, largest_error=region),
        )

    def _with_room(
        self, result: EncodedScan, notes: tuple[str, ...], again: Callable[[], EncodedScan]
    ) -> EncodedScan:
        """Add notes to the file, and search its size again where they leave too little room."""
        parts = result.shapes, result.texture, result.wiener
        fitted_before = self.builder.size(*parts) <= self.allowed
        self.builder.add_notes(notes)
        if not fitted_before or self.builder.size(*parts) <= self.allowed:
            return result
        try:
            return again()
        except RateError:  # no room: the report alone has the notes
            self.builder.add_notes(())
            return result
