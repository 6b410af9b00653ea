"""Encoder of wavelet textures.

    values ─ decompose ─▶ subbands ─ level loop (EncoderSource) ─▶ payload, tiles

The first stream holds all levels but the finest. Where the finest level has several tiles, each
tile has a stream of its own, which depends on the first stream alone: a damaged tile costs no other
tile. Several devices share the tiles (Fig. 4a of the paper). Some tiles can be coded again with
another λ, to meet a size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from deepstd.conditioning import Conditioning
from deepstd.devices import CPU, Device, Workers
from deepstd.rate.tradeoff import rd_cost
from deepstd.texture.conditioning import Hint, hint_of
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.entropy.symbols import EncoderSource, Together
from deepstd.texture.filters.postfilter import restore
from deepstd.texture.header import TextureHeader
from deepstd.texture.scaling import (
    STEPS_PER_OCTAVE,
    Scaling,
    finest_step_code,
    log_rate,
)
from deepstd.texture.tiling import Region, middle_slices
from deepstd.texture.wavelet.anisotropy import relative_sizes
from deepstd.texture.wavelet.bitstream import EncodedTexture, EncodedTile, merge_tiles
from deepstd.texture.wavelet.check import tile_count
from deepstd.texture.wavelet.levels import Level, ScanBatch, code_levels
from deepstd.texture.wavelet.lifting import decompose, split_plan
from deepstd.texture.wavelet.magnitudes import Magnitudes
from deepstd.texture.wavelet.network import WaveletNetwork, condition_of
from deepstd.texture.wavelet.prices import prices_of_levels
from deepstd.texture.wavelet.refinement import LEVELS, corrected, restoration_gradient

# Fewest slices of a part of the scan on which the step is estimated.
_FEWEST_SLICES = 16


class TextureEncoder:
    """Encoder of one scan at any step; the decomposition is computed once.

    Args:
        network: network of the scan's number of axes.
        values: finite grey values, (*shape).
        spacing: voxel size along each axis in mm, or None.
        conditioning: warped template and coordinates, or None.
        scaling: scaling of the values; fitted if None.
        coarse: relative voxel sizes of another frame in half octaves; found if None.
        workers: devices that share the tiles.

    Attributes:
        values: finite grey values, (*shape).
        workers: devices that share the tiles.
        finest: largest step code at which all coefficients can be coded.

    Raises:
        InputError: the values span more than can be coded.
    """

    def __init__(
        self,
        network: WaveletNetwork,
        values: np.ndarray,
        spacing: Sequence[float] | None,
        conditioning: Conditioning | None = None,
        *,
        scaling: Scaling | None = None,
        coarse: tuple[int, ...] | None = None,
        workers: Workers = CPU,
    ) -> None:
        self._network, self.workers = network, workers
        self._open: tuple[int, Level] | None = None
        self._corrections: list[np.ndarray] = []
        self._prices: list[np.ndarray] = []
        self._conditioning = conditioning
        self.shape = tuple(values.shape)
        self.coarse = coarse or relative_sizes(values, spacing)
        self.plan = split_plan(self.shape, self.coarse)
        matched = None if conditioning is None else conditioning.template
        self.scaling = scaling or Scaling.fit(values, matched)
        self.values = values
        normalised = self.scaling.normalise(values)
        self.finest = finest_step_code(normalised, sum(map(len, self.plan)) / 2)
        lows, self._highs = decompose(normalised[None, None], self.plan)
        self._last_low = lows[-1] if lows else normalised[None, None]

    @property
    def conditioned(self) -> bool:
        """True where the encoder is conditioned on a template."""
        return self._conditioning is not None

    @property
    def divided(self) -> bool:
        """True where tiles have streams of their own."""
        return tile_count(self.plan, self.shape) > 0

    @property
    def divisible(self) -> TextureEncoder:
        """The encoder: it counts coefficients and makes encoders of middle slices."""
        return self

    @property
    def recoder(self) -> TextureEncoder | None:
        """The encoder where tiles can be coded again, else None."""
        return self if self.divided else None

    @property
    def undivided(self) -> TextureEncoder | None:
        """The encoder where there are no such tiles, else None."""
        return None if self.divided else self

    @property
    def priced(self) -> TextureEncoder:
        """The encoder: λ can differ between voxels."""
        return self

    def encode(
        self, step_code: int, rate_weight: float, *, last_weight: float | None = None
    ) -> EncodedTexture:
        """Encode at a step code and a λ.

        Args:
            step_code: code of the quantisation step.
            rate_weight: λ, squared steps that a bit is worth.
            last_weight: λ of the last pass of an untiled scan; None to use ``rate_weight``.
        """
        return self._encode(step_code, rate_weight, (), self._hint(step_code), last_weight)

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> EncodedTexture:
        """Refine the quantisation targets of later encodings (`refinement`).

        Args:
            step_code: code of the quantisation step that is refined for.
            rate_weight: λ, squared steps that a bit is worth.
            rounds: number of corrections; each takes about two encodings.

        Returns:
            The encoding with the refined targets.
        """
        return refine_together([self], step_code, rate_weight, rounds, self._hint(step_code))[0]

    def set_prices(self, prices: np.ndarray) -> None:
        """Set the factor of λ at every voxel for later encodings.

        Args:
            prices: factors, (*shape); a coefficient gets the least one of the voxels below it.
        """
        self._prices = prices_of_levels(prices, self.plan)

    def _distortion(self, encoded: EncodedTexture, step_code: int, hint: Hint | None) -> float:
        """Return the squared error of an encoding in squared steps."""
        restored = self.restored(encoded, step_code, hint)
        return float(np.square(restored - self._in_steps(step_code)).sum(dtype=np.float64))

    def _gradient(
        self, encoded: EncodedTexture, step_code: int, hint: Hint | None
    ) -> tuple[float, np.ndarray]:
        """Return the squared error of an encoding in squared steps, and its gradient."""
        condition = condition_of(self._network, step_code, self.plan)
        template = None if hint is None else hint.units
        truth = self._in_steps(step_code)[None, None]
        postfilter = self._network.postfilter
        return restoration_gradient(postfilter, encoded.low, template, condition, truth)

    def _in_steps(self, step_code: int) -> np.ndarray:
        factor = np.float32(2.0 ** (step_code / STEPS_PER_OCTAVE))
        return self.scaling.normalise(self.values) * factor

    def _hint(self, step_code: int) -> Hint | None:
        return hint_of(self._conditioning, step_code)

    def _encode(
        self,
        step_code: int,
        rate_weight: float,
        errors: Sequence[np.ndarray],
        hint: Hint | None,
        last_weight: float | None = None,
    ) -> EncodedTexture:
        self._open = None
        if not self.divided:
            weights = [rate_weight]
            return encode_together([self], step_code, weights, hint, [errors], last_weight)[0]
        opened: list[Level] = []

        def finest(level: Level) -> np.ndarray:
            opened.append(level)
            return level.low

        source = self._source(step_code, rate_weight, errors)
        batch = ScanBatch(self.shape, self.plan, [log_rate(step_code)], hint)
        code_levels(self._network.context, batch, source, self.workers.first, finest=finest)
        head = TextureHeader(self.scaling, step_code, self.coarse).pack()
        stream = source.stream.finish()
        level = opened[0]
        self._open = step_code, level
        work = [(region, rate_weight) for region in level.regions()]
        coded = tuple(self._code_tiles(step_code, level, work, errors))
        reconstruct = partial(merge_tiles, level.bare)
        return EncodedTexture(head, stream, source.symbols_coded, coded, reconstruct)

    def recode(self, encoded: EncodedTexture, weights: Mapping[int, float]) -> EncodedTexture:
        """Code some tiles of the latest encoding again.

        Args:
            encoded: latest result of `encode` or of this method.
            weights: new λ by tile number.
        """
        if self._open is None:
            raise ValueError("nothing was encoded")
        step_code, level = self._open
        regions = list(level.regions())
        work = [(regions[number], weight) for number, weight in weights.items()]
        coded = list(encoded.coded)
        for number, tile in zip(weights, self._code_tiles(step_code, level, work), strict=True):
            coded[number] = tile
        return replace(encoded, coded=tuple(coded))

    def release(self) -> None:
        """Release the arrays that `recode` uses."""
        self._open = None

    def _code_tiles(
        self,
        step_code: int,
        level: Level,
        work: list[tuple[Region, float]],
        errors: Sequence[np.ndarray] = (),
    ) -> Iterator[EncodedTile]:
        def code(device: Device, part: tuple[Region, float]) -> EncodedTile:
            region, rate_weight = part
            source = self._source(step_code, rate_weight, errors)
            source.begin_tile(0, region)
            # Conversion to float32 rounds alike on every machine.
            high = level.code(region, source, device).astype(np.float32)
            return EncodedTile(source.stream.finish(), source.symbols_coded, high, rate_weight)

        return self.workers.map(code, work)

    def _source(
        self,
        step_code: int,
        rate_weight: float,
        errors: Sequence[np.ndarray],
        last_weight: float | None = None,
    ) -> EncoderSource:
        last_pass = self._network.context.config.passes - 1
        return EncoderSource(
            self._network.tables,
            self._last_low,
            self._highs,
            UNITS_PER_STEP * 2.0 ** (step_code / STEPS_PER_OCTAVE),
            rate_weight,
            self._network.savings,
            self._corrections,
            errors,
            None if last_weight is None else (last_pass, last_weight),
            self._prices,
        )

    def significant(self, step_code: int) -> float:
        """Estimate the number of coefficients that are not quantised to zero."""
        return self._magnitudes.significant(-step_code / STEPS_PER_OCTAVE)

    @cached_property
    def _magnitudes(self) -> Magnitudes:
        return Magnitudes(self._highs)

    def middle_slices(
        self, voxels: int, *, axis: int | None = None, fewest: int | None = None
    ) -> TextureEncoder:
        """Make an encoder of the middle slices along an axis; not for scans with a template.

        Slices are whole, because the margins of a scan hold less than its centre.

        Args:
            voxels: approximate number of voxels.
            axis: axis along which the slices follow each other; None for the last.
            fewest: smallest number of slices; None for the usual one.
        """
        axis = -1 if axis is None else axis
        return TextureEncoder(
            self._network,
            middle_slices(self.values, voxels, axis, fewest or _FEWEST_SLICES),
            None,
            scaling=self.scaling,
            coarse=self.coarse,
            workers=self.workers,
        )

    def restored(
        self, encoded: EncodedTexture, step_code: int, hint: Hint | None = None
    ) -> np.ndarray:
        """Return the values after the post-filter in steps, (*shape) float32.

        Args:
            encoded: an encoding of this encoder.
            step_code: code of its quantisation step.
            hint: prediction from reference slices; None to predict from the template, if any.
        """
        hint = hint or self._hint(step_code)
        return restore(
            self._network.filter_on,
            encoded.low,
            None if hint is None else hint.units,
            condition_of(self._network, step_code, self.plan),
            self.workers,
        )


def encode_together(
    encoders: Sequence[TextureEncoder],
    step_code: int,
    rate_weights: Sequence[float],
    hint: Hint | None,
    errors: Sequence[Sequence[np.ndarray]] = (),
    last_weight: float | None = None,
) -> list[EncodedTexture]:
    """Encode a batch of untiled scans of one shape; batches are faster for small scans.

    Args:
        encoders: encoders of the scans, of one network on one device.
        step_code: code of the quantisation step of all scans.
        rate_weights: λ of each scan.
        hint: prediction of the batch, (B, …), or None.
        errors: arrays of each scan that receive the errors of its decoded coefficients in steps.
        last_weight: λ of the last pass; `None` to use ``rate_weights``.
    """
    first = encoders[0]
    sources = [
        encoder._source(step_code, weight, errors[number] if errors else (), last_weight)
        for number, (encoder, weight) in enumerate(zip(encoders, rate_weights, strict=True))
    ]
    batch = ScanBatch(first.shape, first.plan, [log_rate(step_code)] * len(encoders), hint)
    low = code_levels(first._network.context, batch, Together(sources), first.workers.first)
    encoded = []
    for encoder, source, own in zip(encoders, sources, np.split(low, len(low)), strict=True):
        head = TextureHeader(encoder.scaling, step_code, encoder.coarse).pack()
        coded = source.stream.finish(), source.symbols_coded
        encoded.append(EncodedTexture(head, *coded, (), lambda _, own=own: own))
    return encoded


def refine_together(
    encoders: Sequence[TextureEncoder],
    step_code: int,
    rate_weight: float,
    rounds: int,
    hint: Hint | None,
) -> list[EncodedTexture]:
    """Refine the quantisation targets of a batch of untiled scans, or of a single scan.

    Args:
        encoders: encoders of the scans, of one network on one device.
        step_code: code of the quantisation step.
        rate_weight: λ of all scans.
        rounds: number of corrections; each takes about two encodings.
        hint: prediction of the batch, (B, …), or None.

    Returns:
        The encoding of each scan with its refined targets.
    """
    best: list[tuple[float, list[np.ndarray], EncodedTexture]] = []
    for left in range(rounds, -1, -1):
        errors = [
            [np.zeros(h.shape, np.float32) for h in encoder._highs[:LEVELS]] for encoder in encoders
        ]
        if encoders[0].divided:
            encoded = [encoders[0]._encode(step_code, rate_weight, errors[0], hint)]
        else:
            weights = [rate_weight] * len(encoders)
            encoded = encode_together(encoders, step_code, weights, hint, errors)
        for number, (encoder, texture) in enumerate(zip(encoders, encoded, strict=True)):
            own = None if hint is None else hint.row(number)
            if left:
                error, gradient = encoder._gradient(texture, step_code, own)
                before = encoder._corrections or [np.zeros_like(e) for e in errors[number]]
                after = corrected(before, errors[number], gradient, encoder.plan)
            else:
                error, after = encoder._distortion(texture, step_code, own), []
            found = rd_cost(error, texture.nbytes), encoder._corrections, texture
            if len(best) == number:
                best.append(found)
            elif found[0] < best[number][0]:
                best[number] = found
            encoder._corrections = after
    for encoder, (_, corrections, _) in zip(encoders, best, strict=True):
        encoder._corrections = corrections
    return [texture for _, _, texture in best]
