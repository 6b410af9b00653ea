"""Encoding of one scan at one target size: encode, compare, encode again, decode, measure.

frames ─ special values out ─ shape ─ TextureEncoder ─▶ search the step on real file sizes
                                              └ large scans: the last per cent by some tiles alone
best encoding ─ decode ─ measure ─▶ file with its quality in the header
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Self

from deepstd import io
from deepstd.bundle.familiarity import load_familiarity
from deepstd.codec.backgrounds import take_out
from deepstd.codec.compressed import Compressed
from deepstd.codec.file_builder import EncodedScan, FileBuilder
from deepstd.codec.finishing import Finishing
from deepstd.codec.frames import frames_of, spacing_of
from deepstd.codec.guard import Coded
from deepstd.codec.model import Model
from deepstd.codec.protection import NOT_PROTECTED, Encodings, Protection, protected
from deepstd.codec.shape_stage import FrameShape, encode_shape
from deepstd.codec.size_search import SizeSearch
from deepstd.codec.slice_decision import Way, try_slices, ways
from deepstd.codec.steps import FirstSteps
from deepstd.errors import InputError, RateError
from deepstd.findings import Protected
from deepstd.progress import Progress
from deepstd.rate.effort import NORMAL, Effort, effort_named
from deepstd.rate.goal import QualityGoal
from deepstd.rate.search import SizeWindow
from deepstd.rate.start import Point
from deepstd.rate.target import LOWEST_FILL, Target
from deepstd.rate.tradeoff import decibels
from deepstd.texture.codec import Encoded, Encoder
from deepstd.texture.filters.wiener_fit import FRAMING, MOST_BYTES, best_filter
from deepstd.texture.scaling import STEP_CODE_MIN, STEPS_PER_OCTAVE
from deepstd.texture.slices.encoder import SlicedEncoder
from deepstd.volume import Volume

# dB by which an encoding with a field must lead to make the search without one unnecessary.
_CLEAR_LEAD = 0.4
# Octaves around the size within which one encoding is enough to estimate the cost, or the step of
# a refinement.
_NEAR = 0.5
# Usual factor of refinement on the bytes at the same step.
_REFINED_BYTES = 1.006
# Octaves of size around the target that do for the fit of a filter without a refinement, and
# encodings to get there; a search follows where they do not.
_ROUGHLY, _ROUGH_TRIES = 0.12, 3
# Bytes of a file in which there is always room for a filter.
_ROOMY = 1 << 17


class Encoding:
    """Compression of one scan to one size."""

    def __init__(
        self,
        model: Model,
        volume: Volume,
        allowed: int,
        *,
        shape: str,
        effort: Effort,
        progress: Progress,
        goal: QualityGoal | None = None,
    ) -> None:
        """Take out special values.

        Args:
            model: networks and template of the bundle.
            volume: the scan.
            allowed: most bytes of the file.
            shape: "on" for deformation fields, "off" for none, "auto" for the better.
            effort: limits on the time.
            progress: progress of the job, with the parts "encode shape" and "encode check".
            goal: quality that the file states as asked for, or None.
        """
        self._model, self._volume, self._allowed = model, volume, allowed
        self._shape, self._effort, self._progress = shape, effort, progress
        self._affine = io.placement_of(volume.source)
        frames = frames_of(volume)
        grid = frames[0].shape
        taken = take_out(frames, allowed, spacing_of(self._affine, grid, grid), volume.padding)
        self._parts, self._notes = taken.frames, taken.notes
        notes = (*volume.notes, *taken.notes)
        self._builder = FileBuilder(
            volume, model.bundle.reference, self._parts, allowed, notes, goal
        )
        self._codec, self._seen = model.codec_for(self._parts[0][0].shape)
        # The post-filter of a network with a template leaves nothing to the adaptive loop filter.
        self._filtered = not self._codec.network.config.template
        self._weight = model.bundle.manifest.rate_weight
        # Read before the work, so that a damaged file is reported at once.
        self._known = load_familiarity(model.bundle.folder)
        self._steps = FirstSteps(
            allowed, self._builder.fixed_bytes, self._weight, volume.voxels.dtype, progress
        )
        self._wiener: bytes | None = None
        self._prepared: dict[bool, tuple[list[FrameShape], list[Encoder]]] = {}
        self._fitted: list[FrameShape] = []

    @classmethod
    def of(
        cls,
        model: Model,
        volume: Volume,
        target: Target,
        *,
        shape: str = "auto",
        effort: str = NORMAL,
        progress: Progress | None = None,
    ) -> Self:
        """Begin to compress a scan that needs a bundle; other arguments are those of the class.

        Args:
            volume: scan of 2 to 4 axes.
            target: requested size, with a quality that the file states.

        Raises:
            InputError: the bundle has no network for the scan's axes, or a name is unknown.
        """
        if shape not in ("auto", "on", "off"):
            raise InputError(f"shape must be auto, on or off, not {shape!r}")
        volume = io.with_own_header(volume)
        return cls(
            model,
            volume,
            target.bytes_for(volume.voxels.size, volume.nbytes),
            shape="off" if model.shape_model is None else shape,
            effort=effort_named(effort),
            progress=progress or Progress(),
            goal=target.goal,
        )

    def estimated_cost(self) -> float:
        """Estimate the rate-distortion cost at the target size, by one encoding near it.

        Where the first encoding misses the size by far, a second one follows. The search starts
        from the last.
        """
        fields = self._shape != "off"
        self._prepared[fields] = shapes, encoders = self._conditioned(fields=fields)
        start = self._steps.beginning(encoders)
        found = self._encode_once(start.step_code, self._weight, shapes, encoders)
        start = self._steps.aim(found.point, LOWEST_FILL)
        if abs(math.log2(self._allowed / found.point.nbytes)) > _NEAR:
            found = self._encode_once(start.step_code, self._weight, shapes, encoders)
            self._steps.aim(found.point, LOWEST_FILL)
        return found.cost

    def may_be_sliced(self) -> bool:
        """Return True where the scan may be coded slice by slice, which the estimate leaves out.

        The answer is known once the cost was estimated.
        """
        _, encoders = self._prepared[self._shape != "off"]
        return bool(self._ways(encoders))

    def best(self) -> EncodedScan:
        """Return the best encoding found for the requested size.

        Rough encoding ─ choice of field and slices ─ refinement ─ filter ─ search of the size.
        A fast effort leaves out the refinement, a template the filter.
        """
        shape = self._shape
        rounds = self._effort.rounds_for(self._volume.voxels.size)
        if not rounds and not self._filtered:
            return self._choose_field(shape, LOWEST_FILL)
        if not rounds and self._allowed >= _ROOMY:
            return self._with_room(shape)
        # An encoding near the size is enough for a refinement, and for a filter whose bytes count.
        found = near = self._choose_field(shape, None)
        if rounds:
            nbytes = _REFINED_BYTES * found.point.nbytes
            start = self._steps.aim(found.point, LOWEST_FILL, nbytes)
            near = self._refined(found, start.step_code, rounds)
        if self._filtered:
            self._wiener = self._filter_for(near)
        nbytes = near.point.nbytes + len(self._wiener or b"")
        self._steps.aim(near.point, LOWEST_FILL, nbytes)
        # At the coarsest step there may be no room for a filter or for the bytes of a refinement.
        for wiener in dict.fromkeys((self._wiener, None)):
            self._wiener = wiener
            try:
                return self._search_size(found.shapes, found.encoders, LOWEST_FILL)
            except RateError:
                if wiener is None and found.point.nbytes > self._allowed:
                    raise
        return found

    def _with_room(self, shape: str) -> EncodedScan:
        """Search once, leaving room for the adaptive loop filter that is fitted to the result."""
        self._wiener = bytes(MOST_BYTES)
        with suppress(RateError):
            found = self._choose_field(shape, LOWEST_FILL + (MOST_BYTES + FRAMING) / self._allowed)
            return replace(found, wiener=self._filter_for(found))
        self._wiener = None
        return self._choose_field(shape, LOWEST_FILL)

    def _refined(self, found: EncodedScan, step_code: int, rounds: int) -> EncodedScan:
        """Refine the quantisation targets at a step code; return the encoding there."""
        self._progress("refining what the quantiser aims at")
        shapes, encoders = found.shapes, found.encoders
        code = self._clipped(step_code, encoders)
        encoded = [encoder.refine(code, self._weight, rounds) for encoder in encoders]
        return self._counted(Point(code, self._weight, 0), shapes, encoders, encoded)

    def _counted(
        self,
        point: Point,
        shapes: list[FrameShape],
        encoders: list[Encoder],
        encoded: list[Encoded],
    ) -> EncodedScan:
        """Return an encoding with the bytes of its file."""
        for encoder in encoders:
            encoder.release()
        nbytes = self._builder.size(shapes, encoded, self._wiener)
        return EncodedScan(replace(point, nbytes=nbytes), shapes, encoders, encoded)

    def _filter_for(self, encoded: EncodedScan) -> bytes | None:
        """Fit and pack the adaptive loop filter; return None where it is not worth its bytes."""
        self._progress("fitting a filter to the error")
        frames = self._builder.restored(encoded)
        return best_filter(frames, encoded.point.nbytes, self._codec.network.tables)

    def _choose_field(self, shape: str, fill: float | None) -> EncodedScan:
        """Encode without refinement, with deformation fields or without.

        For "auto", the search without fields is skipped where it would clearly lose. An encoding
        without fields at the same step decides, its size difference converted to dB. Bundles with
        fields do not code slice by slice.

        Args:
            shape: "on" for fields, "off" for none, "auto" for the better of both.
            fill: smallest share of the allowed bytes to fill; None for an encoding near the size.
        """
        if shape != "auto":
            return self._choose_slices(*self._conditioned(fields=shape == "on"), fill)
        try:
            kept = self._rough_or_exact(*self._conditioned(fields=True), fill)
        except RateError:
            self._progress("the file cannot be that small with a deformation field")
            return self._rough_or_exact(*self._conditioned(fields=False), fill)
        shapes, encoders = self._conditioned(fields=False)
        # At the step of the other in grey values.
        wider = math.log2(encoders[0].scaling.range / kept.encoders[0].scaling.range)
        code = kept.point.step_code + round(wider * STEPS_PER_OCTAVE)
        without_field = self._encode_once(code, kept.point.rate_weight, shapes, encoders)
        if decibels(without_field.cost - kept.cost) > _CLEAR_LEAD:
            return kept
        other = without_field
        if not self._meets(without_field.point.nbytes, fill):
            self._steps.aim(without_field.point, fill or LOWEST_FILL)
            other = self._rough_or_exact(shapes, encoders, fill)
        return kept if kept.cost <= other.cost else other

    def _conditioned(self, *, fields: bool) -> tuple[list[FrameShape], list[Encoder]]:
        """Return the shape part and the texture encoder of every frame."""
        if fields in self._prepared:
            return self._prepared.pop(fields)
        shapes, encoders = [], []
        for values, _ in self._parts:
            if fields:
                self._progress("registering to the template")
            with self._progress.timed("encode shape"):
                shape = encode_shape(self._model, values, self._affine, field=fields)
            encoders.append(
                self._codec.encoder(
                    values.reshape(self._seen),
                    spacing_of(self._affine, values.shape, self._seen),
                    shape.conditioning,
                    encoders[0].coarse if encoders else None,
                )
            )
            shapes.append(shape)
        self._fitted = shapes if fields else self._fitted
        return shapes, encoders

    def _choose_slices(
        self, shapes: list[FrameShape], encoders: list[Encoder], fill: float | None
    ) -> EncodedScan:
        """Encode with volume encoders, or slice by slice where a trial shows a gain."""
        sliced = self._sliced(encoders)
        if sliced:
            try:
                return self._rough_or_exact(shapes, sliced, fill)
            except RateError:
                self._progress("the file cannot be that small slice by slice")
        return self._rough_or_exact(shapes, encoders, fill)

    def _rough_or_exact(
        self, shapes: list[FrameShape], encoders: list[Encoder], fill: float | None
    ) -> EncodedScan:
        """Search an encoding that fills the share ``fill``, or encode near the size where None."""
        if fill is not None:
            return self._search_size(shapes, encoders, fill)
        start = self._steps.first(encoders)
        # A refinement aims at the size by itself, where a trial has shown how.
        rounds = self._effort.rounds_for(self._volume.voxels.size)
        enough = _NEAR if rounds and self._steps.after_trial else _ROUGHLY
        for _ in range(_ROUGH_TRIES):
            found = self._encode_once(start.step_code, self._weight, shapes, encoders)
            if abs(math.log2(found.point.nbytes / self._allowed)) <= enough:
                return found
            start = self._steps.aim(found.point, LOWEST_FILL)
        return self._search_size(shapes, encoders, LOWEST_FILL)

    def _meets(self, nbytes: int, fill: float | None) -> bool:
        """Return True if a file fills the share ``fill``, or is near the size where None."""
        if fill is None:
            return abs(math.log2(nbytes / self._allowed)) <= _ROUGHLY
        return SizeWindow(self._allowed, fill).holds(nbytes)

    def _sliced(self, encoders: list[Encoder]) -> list[Encoder]:
        """Return encoders of slices where a trial shows a gain; otherwise none."""
        networks, tried = self._codec.slices, self._ways(encoders)
        middle = encoders[len(encoders) // 2].divisible
        if networks is None or not tried or middle is None:
            return []
        self._progress("trying whether the scan is better coded slice by slice")
        per_voxel = self._allowed / sum(values.size for values, _ in self._parts)
        trial = try_slices(
            middle, networks, tried, per_voxel, self._steps.beginning(encoders), self._weight
        )
        self._steps.tried(trial.start)
        if trial.way is None:
            return []
        axis, octaves = trial.way.axis, trial.way.octaves
        return [SlicedEncoder.of(encoder, networks, axis, octaves) for encoder in encoders]

    def _ways(self, encoders: list[Encoder]) -> list[Way]:
        """Return the ways to code the scan slice by slice."""
        if (networks := self._codec.slices) is None:
            return []
        middle = encoders[len(encoders) // 2]
        between = self._effort.between_for(self._volume.voxels.size)
        return ways(middle.coarse, middle.shape, networks if between else networks.alone)

    def _encode_once(
        self, step_code: int, weight: float, shapes: list[FrameShape], encoders: list[Encoder]
    ) -> EncodedScan:
        """Encode at a step code, clipped to the range of step codes."""
        code = self._clipped(step_code, encoders)
        encoded = [e.encode(code, weight) for e in encoders]
        return self._counted(Point(code, weight, 0), shapes, encoders, encoded)

    def _clipped(self, step_code: int, encoders: list[Encoder]) -> int:
        """Return the nearest step code at which all encoders can code."""
        return min(max(step_code, STEP_CODE_MIN), min(e.finest for e in encoders))

    def _search_size(
        self, shapes: list[FrameShape], encoders: list[Encoder], fill: float
    ) -> EncodedScan:
        """Search the encoding that fills at least the share ``fill`` of the allowed bytes."""
        window, parts = SizeWindow(self._allowed, fill), (self._builder, shapes, encoders)
        return SizeSearch(*parts, self._wiener, window, self._progress).run(
            self._steps, self._weight
        )

    def finish(self, result: EncodedScan, wish: Protection | None = None) -> Compressed:
        """Protect regions if wished, judge the scan, and write its quality into the file."""
        self._wiener = result.wiener
        done, notes = None, self._notes
        if wish is not None:
            changed, done = self._protected(result, wish)
            # The encoding that regions are protected from may only be near the size.
            result = result if done is None else changed
            notes = notes if done is not None else (*notes, NOT_PROTECTED)
        scan = self._model, self._volume, self._builder, self._known, self._allowed
        job = Finishing(*scan, self._fitted, self._affine, notes, self._progress)
        self._steps.aim(result.point, LOWEST_FILL)
        parts = result.shapes, result.encoders
        ready = job.judged(result, partial(self._search_size, *parts, LOWEST_FILL), done)
        del result, parts  # and their arrays: decoding takes memory
        return job.finish(ready)

    def _protected(
        self, result: EncodedScan, wish: Protection
    ) -> tuple[EncodedScan, Protected | None]:
        """Encode again with the fidelity of the rest in regions; slices are coded as a volume."""
        self._progress("protecting regions")
        if any(encoder.priced is None for encoder in result.encoders):
            result = self._rough_or_exact(*self._conditioned(fields=False), None)
        parts = result.shapes, result.encoders
        coded = Coded.of(result, self._fitted, self._affine)
        near = partial(self._rough_or_exact, *parts, None)
        encode = Encodings(near, partial(self._search_size, *parts, LOWEST_FILL))
        return protected(self._known, coded, result, wish, encode)
