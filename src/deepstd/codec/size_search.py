"""Search of the encoding of a scan that fills the allowed bytes.

encoders, first step ─ rate.search ─▶ step and λ ─ tiles, slices or the last pass ─▶ EncodedScan
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepstd.codec.file_builder import EncodedScan, FileBuilder
from deepstd.codec.shape_stage import FrameShape
from deepstd.codec.steps import FirstSteps
from deepstd.progress import Progress
from deepstd.rate.search import SizeWindow, search
from deepstd.rate.start import Point
from deepstd.rate.tile_fit import fit_tiles
from deepstd.texture.codec import Encoded, Encoder


@dataclass(frozen=True)
class SizeSearch:
    """Search with the encoders of all frames.

    Attributes:
        builder: builder of the file.
        shapes: shape part of every frame.
        encoders: texture encoder of every frame.
        wiener: packed filter of the file, or None.
        window: accepted sizes.
        progress: progress of the job.
    """

    builder: FileBuilder
    shapes: list[FrameShape]
    encoders: list[Encoder]
    wiener: bytes | None
    window: SizeWindow
    progress: Progress

    def run(self, steps: FirstSteps, rate_weight: float) -> EncodedScan:
        """Search from the first step; return the largest encoding found within the allowed bytes.

        Args:
            steps: first steps of the searches.
            rate_weight: usual λ.

        Raises:
            RateError: the size cannot be reached.
        """
        best: tuple[int, list[Encoded]] = 0, []
        latest: list[Encoded] = []

        def size_of(encoded: list[Encoded]) -> int:
            nonlocal best
            nbytes = self.builder.size(self.shapes, encoded, self.wiener)
            self.progress(f"{nbytes} of {self.window.allowed} bytes")
            if best[0] < nbytes <= self.window.allowed:
                best = nbytes, encoded
            return nbytes

        def size(step_code: int, weight: float) -> int:
            latest[:] = [e.encode(step_code, weight) for e in self.encoders]
            return size_of(latest[:])

        def last(step_code: int, weight: float) -> int:
            latest[:] = [e.encode(step_code, rate_weight, last_weight=weight) for e in whole]
            return size_of(latest[:])

        def fit(point: Point) -> Point:
            least, allowed = self.window.least, self.window.allowed
            fitted = fit_tiles(tiled, latest, point.nbytes, least, allowed)
            return replace(point, nbytes=size_of(fitted))

        # Frames have one shape: all of them have tiles or slices, or none.
        tiled = [e.recoder for e in self.encoders if e.recoder is not None]
        whole = [e.undivided for e in self.encoders if e.undivided is not None]
        point = search(
            size,
            self.window,
            steps.scale(self.encoders),
            start=steps.first(self.encoders),
            rate_weight=rate_weight,
            describe=self.builder.describe,
            fit=fit if tiled else None,
            last=last if whole else None,
        )
        for encoder in self.encoders:
            encoder.release()
        return EncodedScan(point, self.shapes, self.encoders, best[1], self.wiener)
