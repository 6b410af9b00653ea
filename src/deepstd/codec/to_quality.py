"""Encoding of one scan to the smallest file that keeps a quality.

goal ─ two or three plain encodings ─▶ about the bytes ─ choice of field and slices, as for a size
best encoders ─ refinement, filter near the goal ─ search of the step on what is restored ─▶ file
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from deepstd import io
from deepstd.codec.compressed import Compressed
from deepstd.codec.encoder import Encoding
from deepstd.codec.file_builder import EncodedScan
from deepstd.codec.model import Model
from deepstd.codec.protection import Protection
from deepstd.codec.shape_stage import FrameShape
from deepstd.errors import RateError
from deepstd.progress import Progress
from deepstd.quality import Quality, errors_of, finite_range, ssim
from deepstd.rate.by_quality import coarsest
from deepstd.rate.goal import QualityGoal
from deepstd.rate.target import LOWEST_FILL, Target
from deepstd.texture.codec import Encoder
from deepstd.texture.filters.wiener import WienerFilter
from deepstd.texture.scaling import STEPS_PER_OCTAVE
from deepstd.volume import Volume

# Octaves of error beyond the goal that are near enough for a choice and a refinement, and that end
# the search of the step: 0.05 dB, or about 1 % of the bytes.
_NEAR, _WITHIN = 0.15, 0.008
# Step codes to the next coarser step that misses the goal: about 0.5 % of the bytes.
_NARROW = 8
# Step codes by which the step gets finer where the decoded file misses what the encoder restored.
_FINER, _TRIES = 4, 8
# Encodings that find about the bytes.
_ROUGH = 5
# Share of the stored bytes that is assumed until the bytes are known.
_ASSUMED = 1 / 16
# Error of a uniform quantiser in steps, and usual ratio of root mean square to mean error.
_ERROR_OF_STEP, _RMSE_OF_MAE = math.sqrt(1 / 12), 1.4


class QualityEncoding(Encoding):
    """Compression of one scan to one quality; the size that it begins with is a first guess."""

    def excess(self, found: EncodedScan) -> float:
        """Return by how many octaves of error the restored scan is better than the goal."""
        self._progress("measuring the error")
        voxels = self._builder.voxels(found, self._apply_filter)
        return self._goal.excess(self._figures(voxels), self._slope)

    @property
    def _goal(self) -> QualityGoal:
        if self._builder.goal is None:
            raise ValueError("the encoding has no goal")
        return self._builder.goal.tightened()

    @property
    def _slope(self) -> float:
        return abs(io.scale_of(self._volume.source)[0])

    def _figures(self, voxels: np.ndarray) -> Quality:
        """Measure what the goal needs: SSIM takes longer than all other figures."""
        original = self._volume.voxels
        errors = errors_of(original, voxels)
        low, high = finite_range(original)
        similarity = math.nan
        if self._goal.measure == "ssim":
            similarity = ssim(original, voxels, data_range=high - low)
        return Quality(errors.mae, errors.max_error, errors.psnr(high - low), similarity)

    def _apply_filter(self, steps: np.ndarray) -> np.ndarray:
        if self._wiener is None:
            return steps
        tables = self._codec.network.tables
        found = WienerFilter.unpack(self._wiener, steps.ndim, tables, "the new file")
        return found.apply(steps)

    def rough(self) -> EncodedScan:
        """Encode without field, slices, refinement and filter, near the goal."""
        parts = self._conditioned(fields=False)
        return self._near_goal(*parts, self._first_code(parts[1]))

    def begin_at(self, found: EncodedScan) -> None:
        """Take over the step of an encoding of the same scan with the same network."""
        self._steps.aim(found.point, LOWEST_FILL)

    def best(self) -> EncodedScan:
        """Return the smallest encoding found that keeps the goal, or the best one."""
        near = found = self._choose_field(self._shape, None)
        parts = found.shapes, found.encoders
        rounds = self._effort.rounds_for(self._volume.voxels.size)
        if rounds:
            near = self._refined(found, found.point.step_code, rounds)
        if self._filtered:
            self._wiener = self._filter_for(near)
        return self._searched(*parts, near.point.step_code)

    def _rough_or_exact(
        self, shapes: list[FrameShape], encoders: list[Encoder], fill: float | None
    ) -> EncodedScan:
        """Encode near the goal; ``fill`` is a share of a size, of which there is none."""
        found = self._near_goal(shapes, encoders, self._steps.first(encoders).step_code)
        self._steps.aim(found.point, LOWEST_FILL)
        return found

    def _meets(self, nbytes: int, fill: float | None) -> bool:
        """Return True: an encoding at a step near the goal has the size that it needs."""
        return True

    def _first_code(self, encoders: list[Encoder]) -> int:
        """Guess the step code of the goal from the error of a uniform quantiser."""
        goal, (low, high) = self._goal, finite_range(self._volume.voxels)
        decibels = goal.value if goal.measure == "psnr" else 40.0
        if goal.measure == "ssim":
            decibels = 24.0 - 9.0 * math.log10(max(1 - goal.value, 1e-6))
        error = (high - low) * 10 ** (-decibels / 20)
        if goal.measure == "mae":
            error = _RMSE_OF_MAE * goal.value / self._slope
        step = error / _ERROR_OF_STEP
        code = math.log2(encoders[0].scaling.range / step) if step > 0 else math.inf
        scale = self._steps.scale(encoders)
        return scale.clipped(round(min(max(code, -64.0), 64.0) * STEPS_PER_OCTAVE))

    def _near_goal(
        self, shapes: list[FrameShape], encoders: list[Encoder], start: int
    ) -> EncodedScan:
        """Encode within a fraction of an octave of the goal, on either side of it."""
        latest: list[EncodedScan] = []

        def excess(code: int) -> float:
            latest[:] = [self._encode_once(code, self._weight, shapes, encoders)]
            # Shifted, so that both sides of the goal lie between 0 and what ends the search.
            return self.excess(latest[0]) + _NEAR

        scale = self._steps.scale(encoders)
        coarsest(excess, scale, start=start, within=2 * _NEAR, most=_ROUGH)
        return latest[0]

    def _searched(
        self, shapes: list[FrameShape], encoders: list[Encoder], start: int
    ) -> EncodedScan:
        """Search the coarsest step that keeps the goal; without one, return the best encoding."""
        best: list[tuple[tuple[bool, float], EncodedScan]] = []

        def excess(code: int) -> float:
            found = self._encode_once(code, self._weight, shapes, encoders)
            over = self.excess(found)
            self._progress(f"{found.point.nbytes} bytes, {over:+.3f} octaves of error to spare")
            # Within the goal fewer bytes are better, else less error.
            rank = over >= 0, -found.point.nbytes if over >= 0 else over
            if not best or rank > best[0][0]:
                best[:] = [(rank, replace(found, wiener=self._wiener))]
            return over

        scale = self._steps.scale(encoders)
        coarsest(excess, scale, start=start, within=_WITHIN, narrow=_NARROW)
        return best[0][1]

    def finish(self, result: EncodedScan, wish: Protection | None = None) -> Compressed:
        """Decode the file and check the goal; take finer steps where the decoder misses it.

        Raises:
            RateError: no step keeps the goal.
        """
        found, scale = super().finish(result, wish), self._steps.scale(result.encoders)
        for _ in range(_TRIES):
            if self._goal.kept_by(found.quality, self._slope):
                return found
            code = scale.clipped(result.point.step_code + _FINER)
            if code == result.point.step_code:
                break
            again = self._encode_once(code, self._weight, result.shapes, result.encoders)
            result = replace(again, wiener=self._wiener)
            found = super().finish(result)
        if result.point.step_code >= scale.highest:
            exact = self._encode_once(scale.highest, 0.0, result.shapes, result.encoders)
            found = super().finish(replace(exact, wiener=self._wiener))
            if self._goal.kept_by(found.quality, self._slope):
                return found
        reached = self._goal.reached(found.quality, self._slope)
        raise RateError(
            f"cannot keep {self._builder.goal}: the finest quantisation reaches {reached:.6g}. Ask "
            "for less, or keep every voxel (--lossless)"
        )


def begun(
    models: list[Model],
    volume: Volume,
    goal: QualityGoal,
    effort: str,
    progress: Progress,
    *,
    shape: str = "auto",
) -> list[QualityEncoding]:
    """Begin to compress a scan to a quality with each of several bundles.

    Args:
        models: networks and templates of the bundles; the first finds about the bytes.
        volume: scan of 2 to 4 axes.
        goal: quality to keep.
        effort: "fast", "normal" or "best".
        progress: progress of the job.
        shape: "on" for deformation fields, "off" for none, "auto" for the better of both.
    """

    def job(model: Model, nbytes: int, shape: str) -> QualityEncoding:
        target = Target(max_bytes=nbytes, goal=goal)
        return QualityEncoding.of(
            model, volume, target, shape=shape, effort=effort, progress=progress
        )

    progress(f"estimating the bytes of {goal}")
    first = job(models[0], max(1, round(_ASSUMED * volume.nbytes)), "off")
    found = first.rough()
    jobs = [job(model, found.point.nbytes, shape) for model in models]
    jobs[0].begin_at(found)
    return jobs
