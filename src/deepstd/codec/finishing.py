"""Finishing of a file: the scan is judged, the file decoded, and its quality written.

best encoding ─ guard ─▶ note, if unfamiliar ─ decode ─ measure ─▶ Compressed
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepstd.codec import decoder
from deepstd.codec.compressed import Compressed
from deepstd.codec.file_builder import NO_QUALITY, EncodedScan, FileBuilder
from deepstd.codec.guard import Coded, judged, note_of
from deepstd.codec.model import Model
from deepstd.codec.regions import largest_error
from deepstd.codec.shape_stage import FrameShape
from deepstd.container import parse
from deepstd.errors import RateError
from deepstd.findings import Protected
from deepstd.progress import Progress
from deepstd.quality import measure, rmse
from deepstd.volume import Volume


@dataclass(frozen=True)
class Finishing:
    """Finisher of the file of a scan, given an encoding of it.

    Attributes:
        model: networks and template of the bundle.
        volume: the scan.
        builder: builder of its files.
        allowed: most bytes of the file.
        fitted: registration of each frame, whether the file keeps it or not; empty without.
        affine: voxel-to-world matrix, (4, 4), or None.
        notes: notes on the encoding so far.
        progress: progress of the job, with the part "encode check".
    """

    model: Model
    volume: Volume
    builder: FileBuilder
    allowed: int
    fitted: Sequence[FrameShape]
    affine: np.ndarray | None
    notes: tuple[str, ...]
    progress: Progress

    def finish(
        self,
        result: EncodedScan,
        again: Callable[[], EncodedScan],
        done: Protected | None = None,
    ) -> Compressed:
        """Judge the scan, decode the file, and write the quality into its header.

        Args:
            result: the best encoding.
            again: searches the size again, where a note takes room.
            done: regions that were protected, or None.
        """
        bundle = self.model.bundle.manifest.name
        coded = Coded.of(result, self.fitted, self.affine)
        familiarity = replace(judged(self.model, coded), protected=done)
        note = note_of(familiarity, bundle)
        notes = () if note is None else (note,)
        result = self._with_room(result, notes, again)
        self.progress("decoding to measure the error")
        symbols = hashlib.sha256(b"".join(t.latents for t in result.texture)).digest()
        parts = result.shapes, result.texture, result.wiener
        data = self.builder.file(*parts, NO_QUALITY, symbols)
        with self.progress.timed("encode check"):
            restored = decoder.decode(self.model, parse(data, "the new file")).voxels
        original = self.volume.voxels
        quality, error = measure(original, restored), rmse(original, restored)
        region = largest_error(original, restored, self.affine)
        return Compressed(
            self.builder.file(*parts, quality, symbols),
            quality,
            error * error,
            tuple(s.report for s in result.shapes),
            sum(len(s.payload or b"") for s in result.shapes),
            sum(t.nbytes for t in result.texture),
            (*self.notes, *notes),
            familiarity=replace(familiarity, largest_error=region),
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
