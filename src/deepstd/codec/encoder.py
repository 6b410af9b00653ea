"""Encoding of one scan at one target size: encode, compare, encode again, decode, measure.

frames ─ special values out ─ shape ─ TextureEncoder ─▶ search the step on real file sizes
                                              └ large scans: the last per cent by some tiles alone
best encoding ─ decode ─ measure ─▶ file with its quality in the header
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from deepstd import io
from deepstd.bundle import Bundle
from deepstd.codec.backgrounds import take_out
from deepstd.codec.compressed import Compressed
from deepstd.codec.file_builder import NO_QUALITY, EncodedScan, FileBuilder, FrameShape
from deepstd.codec.frames import flat_axis, frames_of
from deepstd.codec.slice_decision import try_slices, ways
from deepstd.container import LATENTS_DIGEST_BYTES, Container, parse
from deepstd.devices import Workers
from deepstd.errors import RateError
from deepstd.quality import measure, rmse
from deepstd.rate.effort import Effort
from deepstd.rate.search import search
from deepstd.rate.start import Point, Start, estimate, first_start, start_near
from deepstd.rate.target import LOWEST_FILL
from deepstd.rate.tile_fit import fit_tiles
from deepstd.texture.codec import Divisible, Encoded, Encoder, encoder_for
from deepstd.texture.filters.wiener_fit import FRAMING, MOST_BYTES, best_filter
from deepstd.texture.models import Network
from deepstd.texture.scaling import STEP_CODE_MIN, STEPS_PER_OCTAVE
from deepstd.texture.slices.decoder import SliceNetworks
from deepstd.texture.slices.encoder import SlicedEncoder
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.volume import Volume

# Grey values: stored integers are exact at this step.
_FINEST_INTEGER_STEP = 0.125
# Voxels of the part of a large scan on which the step is estimated.
_GUESS_VOXELS = 1 << 20
# Of the significant coefficients, so that an empty part does not divide by zero.
_SMALLEST_SHARE = 1e-3
# dB by which an encoding with a field must lead to make the search without one unnecessary.
_CLEAR_LEAD = 0.4
# Usual factor of refinement on the bytes at the same step.
_REFINED_BYTES = 1.006
# Fill of the search before refinement and filter.
_ROUGH_FILL = 0.94
# Bytes of a file in which there is always room for a filter.
_ROOMY = 1 << 17
# Gain in dB that an octave of bytes usually buys.
_DECIBELS_AN_OCTAVE = 3.5
# First step of encoders that cannot estimate it.
_FIRST_START = Start(2 * STEPS_PER_OCTAVE)
Progress = Callable[[str], None]


class Coder(Protocol):
    """Interface of the codec that an encoding uses."""

    bundle: Bundle
    workers: Workers

    def network_for(self, shape: tuple[int, ...]) -> tuple[Network, tuple[int, ...]]:
        """Return the network for a frame and the shape of its input."""
        ...

    def networks_of_slices(self, shape: tuple[int, ...]) -> SliceNetworks | None:
        """Return the networks for slices; None where a frame cannot be coded slice by slice."""
        ...

    def shape_of_scan(
        self, values: np.ndarray, affine: np.ndarray | None, *, field: bool
    ) -> FrameShape:
        """Register a frame where ``field`` is true; return its shape part."""
        ...

    def decode(self, container: Container) -> Volume:
        """Decode a parsed file."""
        ...


class Encoding:
    """Compression of one scan to one size."""

    def __init__(
        self, codec: Coder, volume: Volume, allowed: int, effort: Effort, progress: Progress
    ) -> None:
        self._codec, self._volume, self._allowed = codec, volume, allowed
        self._effort, self._progress = effort, progress
        self._affine = io.placement_of(volume.source)
        frames = frames_of(volume)
        shape = frames[0].shape
        taken = take_out(frames, allowed, self._spacing(shape, shape), volume.padding)
        self._parts, self._notes = taken.frames, taken.notes
        notes = (*volume.notes, *taken.notes)
        self._builder = FileBuilder(volume, codec.bundle.reference, self._parts, allowed, notes)
        self._network, _ = codec.network_for(self._parts[0][0].shape)
        self._weight = codec.bundle.manifest.rate_weight
        self._start: Start | None = None
        self._wiener: bytes | None = None

    def best(self, *, shape: str) -> EncodedScan:
        """Search the quantiser for the requested size, with or without deformation fields.

        Args:
            shape: "on" for fields, "off" for none, "auto" for the better of both.
        """
        rounds = self._effort.rounds_for(self._volume.voxels.size)
        # The post-filter of a network with a template leaves nothing to the adaptive loop filter.
        filtered = not self._network.config.template
        if not rounds and not filtered:
            return self._shaped(shape, LOWEST_FILL)
        if not rounds and self._allowed >= _ROOMY:
            return self._with_room(shape)
        # A rough search is enough before a refinement, and before a filter whose bytes count.
        found = near = self._shaped(shape, _ROUGH_FILL)
        if rounds:
            start = self._refine(found, rounds)
            if filtered:
                near = self._encoded(start.step_code, self._weight, found.shapes, found.encoders)
            self._start = start
        if filtered:
            self._wiener = self._filter_for(near)
            nbytes = near.point.nbytes + len(self._wiener or b"")
            self._start = self._start_near(near.point, LOWEST_FILL, nbytes)
        # At the coarsest step there may be no room for a filter or for the bytes of a refinement.
        for wiener in dict.fromkeys((self._wiener, None)):
            self._wiener = wiener
            with suppress(RateError):
                return self._search(found.shapes, found.encoders, LOWEST_FILL)
        return found

    def _with_room(self, shape: str) -> EncodedScan:
        """Search once, leaving room for the adaptive loop filter that is fitted to the result."""
        self._wiener = bytes(MOST_BYTES)
        with suppress(RateError):
            found = self._shaped(shape, LOWEST_FILL + (MOST_BYTES + FRAMING) / self._allowed)
            return replace(found, wiener=self._filter_for(found))
        self._wiener = None
        return self._shaped(shape, LOWEST_FILL)

    def _refine(self, found: EncodedScan, rounds: int) -> Start:
        """Refine the quantisation targets of all encoders; return the start of the next search."""
        point = found.point
        for encoder in found.encoders:
            self._progress("refining what the quantiser aims at")
            encoder.refine(point.step_code, point.rate_weight, rounds)
        return self._start_near(point, LOWEST_FILL, _REFINED_BYTES * point.nbytes)

    def _filter_for(self, encoded: EncodedScan) -> bytes | None:
        """Fit and pack the adaptive loop filter; return None where it is not worth its bytes."""
        self._progress("fitting a filter to the error")
        frames = self._builder.restored(encoded)
        return best_filter(frames, encoded.point.nbytes, self._network.tables)

    def _shaped(self, shape: str, fill: float) -> EncodedScan:
        """Search without refinement, with or without deformation fields.

        For "auto", the search without fields is skipped where it would clearly lose. An encoding
        without fields at the same step decides, its size difference converted to dB.
        """
        if shape != "auto":
            return self._plain(*self._conditioned(fields=shape == "on"), fill)
        try:
            kept = self._search(*self._conditioned(fields=True), fill)
        except RateError:
            self._progress("the file cannot be that small with a deformation field")
            return self._search(*self._conditioned(fields=False), fill)
        shapes, encoders = self._conditioned(fields=False)
        plain = self._with_step_of(kept, shapes, encoders)
        if self._lead(kept, plain) > _CLEAR_LEAD:
            return kept
        other = plain
        if not fill * self._allowed <= plain.point.nbytes <= self._allowed:
            self._start = self._start_near(plain.point, fill, plain.point.nbytes)
            other = self._search(shapes, encoders, fill)
        return kept if self._lead(kept, other) >= 0 else other

    def _conditioned(self, *, fields: bool) -> tuple[list[FrameShape], list[Encoder]]:
        """Return the shape part and the texture encoder of every frame."""
        codec = self._codec
        shapes, encoders = [], []
        for values, _ in self._parts:
            if fields:
                self._progress("registering to the template")
            network, seen = codec.network_for(values.shape)
            shape = codec.shape_of_scan(values, self._affine, field=fields)
            conditioning = shape.conditioning
            encoders.append(
                encoder_for(
                    network,
                    values.reshape(seen),
                    self._spacing(values.shape, seen),
                    None if conditioning is None else conditioning.template,
                    None if conditioning is None else conditioning.places,
                    coarse=encoders[0].coarse if encoders else None,
                    workers=codec.workers,
                )
            )
            shapes.append(shape)
        return shapes, encoders

    def _plain(self, shapes: list[FrameShape], encoders: list[Encoder], fill: float) -> EncodedScan:
        """Search with volume encoders, or slice by slice where a trial shows a gain."""
        sliced = self._sliced(encoders)
        if sliced:
            try:
                return self._search(shapes, sliced, fill)
            except RateError:
                self._progress("the file cannot be that small slice by slice")
        return self._search(shapes, encoders, fill)

    def _sliced(self, encoders: list[Encoder]) -> list[Encoder]:
        """Return encoders of slices where a trial shows a gain; otherwise none."""
        middle = encoders[len(encoders) // 2]
        networks = self._codec.networks_of_slices(middle.shape)
        if networks is None or not isinstance(middle, TextureEncoder):
            return []
        between = self._effort.between_for(self._volume.voxels.size)
        tried = ways(middle.coarse, middle.shape, networks if between else networks.alone)
        if not tried:
            return []
        self._progress("trying whether the scan is better coded slice by slice")
        per_voxel = self._allowed / sum(values.size for values, _ in self._parts)
        trial = try_slices(
            middle, networks, tried, per_voxel, self._beginning(encoders), self._weight
        )
        self._start = trial.start
        if trial.way is None:
            return []
        wavelet = [e for e in encoders if isinstance(e, TextureEncoder)]
        return [SlicedEncoder.of(e, networks, trial.way.axis, trial.way.octaves) for e in wavelet]

    def _with_step_of(
        self, other: EncodedScan, shapes: list[FrameShape], encoders: list[Encoder]
    ) -> EncodedScan:
        """Encode with other encoders at the step of ``other`` in grey values."""
        wider = math.log2(encoders[0].scaling.range / other.encoders[0].scaling.range)
        code = other.point.step_code + round(wider * STEPS_PER_OCTAVE)
        return self._encoded(code, other.point.rate_weight, shapes, encoders)

    def _encoded(
        self, step_code: int, weight: float, shapes: list[FrameShape], encoders: list[Encoder]
    ) -> EncodedScan:
        """Encode at a step code, clipped to the range of step codes."""
        code = min(max(step_code, STEP_CODE_MIN), min(e.finest for e in encoders))
        encoded = [e.encode(code, weight) for e in encoders]
        for encoder in encoders:
            encoder.release()
        nbytes = self._builder.size(shapes, encoded, self._wiener)
        return EncodedScan(Point(code, weight, nbytes), shapes, encoders, encoded)

    @staticmethod
    def _lead(one: EncodedScan, other: EncodedScan) -> float:
        """Estimate the lead in dB of one encoding over another at equal size."""
        if one.error == 0.0 or other.error == 0.0:
            return math.inf if one.error < other.error else -math.inf
        saved = _DECIBELS_AN_OCTAVE * math.log2(other.point.nbytes / one.point.nbytes)
        return 10 * math.log10(other.error / one.error) + saved

    def _search(
        self, shapes: list[FrameShape], encoders: list[Encoder], fill: float
    ) -> EncodedScan:
        """Search the encoding that fills at least the share ``fill`` of the allowed bytes."""
        latest: list[Encoded] = []
        best: tuple[int, list[Encoded]] = 0, []

        def size_of(encoded: list[Encoded]) -> int:
            nonlocal best
            nbytes = self._builder.size(shapes, encoded, self._wiener)
            self._progress(f"{nbytes} of {self._allowed} bytes")
            if best[0] < nbytes <= self._allowed:
                best = nbytes, encoded
            return nbytes

        def size(step_code: int, rate_weight: float) -> int:
            latest[:] = [e.encode(step_code, rate_weight) for e in encoders]
            return size_of(latest[:])

        def last(step_code: int, weight: float) -> int:
            latest[:] = [e.encode(step_code, self._weight, last_weight=weight) for e in whole]
            return size_of(latest[:])

        def fit(point: Point) -> Point:
            bounds = fill * self._allowed, self._allowed
            return replace(point, nbytes=size_of(fit_tiles(tiled, latest, point.nbytes, *bounds)))

        # Frames have one shape: all of them have tiles or slices, or none.
        tiled: list[Any] = [e for e in encoders if isinstance(e, Divisible) and e.divided]
        whole: list[Any] = [] if tiled else encoders
        self._start = self._guess(encoders)
        point = search(
            size,
            self._allowed,
            fill=fill,
            start=self._start,
            rate_weight=self._weight,
            lowest=STEP_CODE_MIN,
            highest=self._finest(encoders),
            octave=STEPS_PER_OCTAVE,
            describe=self._builder.describe,
            fit=fit if tiled else None,
            last=last if whole else None,
        )
        for encoder in encoders:
            encoder.release()
        return EncodedScan(point, shapes, encoders, best[1], self._wiener)

    def finish(self, result: EncodedScan) -> Compressed:
        """Decode the file, measure its error, and write the quality into its header."""
        self._progress("decoding to measure the error")
        latents = hashlib.sha256(b"".join(t.latents for t in result.texture)).digest()
        latents = latents[:LATENTS_DIGEST_BYTES]
        parts = result.shapes, result.texture, result.wiener
        data = self._builder.file(*parts, NO_QUALITY, latents)
        restored = self._codec.decode(parse(data, "the new file"))
        quality = measure(self._volume.voxels, restored.voxels)
        error = rmse(self._volume.voxels, restored.voxels)
        return Compressed(
            self._builder.file(*parts, quality, latents),
            quality,
            error * error,
            tuple(s.report for s in result.shapes),
            sum(len(s.payload or b"") for s in result.shapes),
            sum(t.nbytes for t in result.texture),
            self._notes,
        )

    def _spacing(self, shape: tuple[int, ...], seen: tuple[int, ...]) -> tuple[float, ...] | None:
        if self._affine is None:
            return None
        spacing = np.linalg.norm(self._affine[:3, : len(shape)], axis=0)
        flat = flat_axis(shape) if len(seen) < len(shape) else None
        return tuple(float(s) for a, s in enumerate(spacing) if a != flat)

    def _guess(self, encoders: list[Encoder]) -> Start:
        """Estimate the start of a search; for a large scan, by encoding a part of it."""
        start = self._beginning(encoders)
        voxels = sum(math.prod(e.shape) for e in encoders)
        wavelet = [e for e in encoders if isinstance(e, Divisible)]
        if voxels <= 4 * _GUESS_VOXELS or not wavelet or encoders[0].conditioned:
            return start
        part = wavelet[len(wavelet) // 2].middle_slices(_GUESS_VOXELS)
        self._progress("estimating the step on a part of the scan")

        def size(step_code: int) -> int:
            code = min(max(step_code, STEP_CODE_MIN), part.finest)
            whole = sum(encoder.significant(code) for encoder in wavelet)
            share = part.significant(code) / whole if whole else 1.0
            encoded = part.encode(code, self._weight)
            return math.ceil(encoded.nbytes / max(share, _SMALLEST_SHARE))

        return estimate(size, self._allowed, start=start, octave=STEPS_PER_OCTAVE)

    def _beginning(self, encoders: list[Encoder]) -> Start:
        """Return the start from an earlier trial or search, else estimate it without encoding."""
        wavelet = [e for e in encoders if isinstance(e, Divisible)]
        if self._start is not None or not wavelet:
            return self._start or _FIRST_START
        return first_start(
            lambda code: sum(encoder.significant(code) for encoder in wavelet),
            sum(math.prod(encoder.shape) for encoder in wavelet),
            max(self._allowed - self._builder.fixed_bytes, 1),
            lowest=STEP_CODE_MIN,
            highest=self._finest(encoders),
            octave=STEPS_PER_OCTAVE,
        )

    def _start_near(self, point: Point, fill: float, nbytes: float) -> Start:
        """Extrapolate the start of a search from an encoding.

        Args:
            point: quantiser of the encoding.
            fill: smallest accepted share of the allowed bytes.
            nbytes: bytes that the file is expected to take at this quantiser.
        """
        return start_near(
            replace(point, nbytes=round(nbytes)),
            self._allowed * (1 + fill) / 2,
            slope=(self._start or _FIRST_START).slope,
            rate_weight=self._weight,
            octave=STEPS_PER_OCTAVE,
        )

    def _finest(self, encoders: list[Encoder]) -> int:
        """Return the finest useful step code; stored integers are exact there."""
        finest = min(e.finest for e in encoders)
        if self._volume.voxels.dtype.kind == "f":
            return finest
        span = max(e.scaling.range for e in encoders)
        code = math.ceil(math.log2(span / _FINEST_INTEGER_STEP) * STEPS_PER_OCTAVE)
        return min(max(code, STEP_CODE_MIN + 1), finest)
