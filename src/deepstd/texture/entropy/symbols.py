"""Symbols of one stream: quantised by the encoder, or read by the decoder.

    true subbands, predicted mean ─ EncoderSource: quantiser ─▶ symbols ─▶ range coder
    stream ─ DecoderSource: range coder ─▶ symbols

    several sources ─ Together ─▶ one loop over a batch of scans, a stream for each

Encoder and decoder keep the symbols; their hash is in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from deepstd.coding.adaptation import FEWEST_SYMBOLS, best_offsets, shifted
from deepstd.coding.backend import new_decoder, new_encoder, search_trellis
from deepstd.coding.native import NativeDecoder, NativeEncoder, choice_tables
from deepstd.coding.tables import PLAIN, SPACING, ScaleTables
from deepstd.coding.trellis import arranged, values_of
from deepstd.engine.library import address
from deepstd.engine.tiles import MOST_PASSES, TargetsRecord
from deepstd.texture.entropy.context import Prediction
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.entropy.native_context import contiguous
from deepstd.texture.entropy.native_tile import NativeTile, TileCoder
from deepstd.texture.entropy.quantizer import quantize
from deepstd.texture.entropy.source import SymbolSource
from deepstd.texture.tiling import Region

# Scale index of the last low-pass band: a wide 2**7 steps.
_LAST_LOW_SCALE = np.array([48], dtype=np.uint8)


def hash_of(symbols: Sequence[np.ndarray]) -> bytes:
    """Return the SHA-256 of symbols in coding order."""
    digest = hashlib.sha256()
    for part in symbols:
        digest.update(as_hashed(part))
    return digest.digest()


def as_hashed(symbols: np.ndarray) -> bytes:
    """Convert symbols to the bytes of the hash, little-endian int32."""
    return symbols.astype("<i4").tobytes()


class _Stream:
    """Symbols of one stream, kept as int8 where possible.

    Attributes:
        symbols_coded: symbols of each pass so far, in coding order.
    """

    def __init__(self, tables: ScaleTables) -> None:
        self._tables = tables
        self.symbols_coded: list[np.ndarray] = []

    def _note(self, symbols: np.ndarray) -> None:
        small = symbols.size == 0 or -128 <= symbols.min() <= symbols.max() < 128
        self.symbols_coded.append(symbols.astype(np.int8 if small else np.int32))


class EncoderSource(_Stream):
    """Source of symbols that quantises known subbands and encodes them.

    Args:
        tables: frequencies.
        last_low: last low-pass band, normalised, (1, 1, *grid).
        highs: high subbands of each level, normalised, finest first.
        factor: fixed-point units (1/64 step) of normalised value 1.
        rate_weight: λ, squared steps that a bit is worth.
        savings: bits saved by the next smaller magnitude (`quantizer.symbol_savings`).
        corrections: offsets of the quantisation targets of the finest levels, in steps.
        errors: arrays that receive decoded less true coefficients of the finest levels, in steps.
        last: number of the last pass of the finest level, and its λ; None for ``rate_weight``.
        prices: factors of λ of each level's coefficients, (1, 1, *coarse) float32; none for 1.

    Attributes:
        stream: encoder of the symbols.
    """

    def __init__(
        self,
        tables: ScaleTables,
        last_low: np.ndarray,
        highs: list[np.ndarray],
        factor: float,
        rate_weight: float,
        savings: np.ndarray,
        corrections: Sequence[np.ndarray] = (),
        errors: Sequence[np.ndarray] = (),
        last: tuple[int, float] | None = None,
        prices: Sequence[np.ndarray] = (),
    ) -> None:
        super().__init__(tables)
        self._last, self._place = last, (0, 0)
        self._corrections, self._errors, self._prices = corrections, errors, prices
        self._correction: np.ndarray | None = None
        self._error: np.ndarray | None = None
        self._price: np.ndarray | None = None
        self._last_low, self._highs = last_low, highs
        self._factor, self._rate_weight = factor, rate_weight
        self._savings = savings
        self.stream = new_encoder()
        self._target = last_low

    def last_low(self, prediction: np.ndarray) -> np.ndarray:
        """Quantise and encode the last low-pass band; return it in 1/64 step."""
        truth = self._last_low.astype(np.float64) * self._factor
        symbols = np.floor((truth - prediction) * (1 / UNITS_PER_STEP) + 0.5)
        flat = symbols.astype(np.int64).reshape(-1)
        self.stream.encode(flat, _LAST_LOW_SCALE.repeat(flat.size), self._tables)
        self._note(flat)
        return prediction + UNITS_PER_STEP * symbols

    @property
    def coders(self) -> Sequence[TileCoder]:
        """This source alone."""
        return [self]

    def begin_tile(self, level: int, region: Region) -> None:
        """Select the subbands of a tile."""
        self._place = level, 0
        self._target = self._highs[level][(..., *region)]
        self._correction = _part(self._corrections, level, region)
        self._error = _part(self._errors, level, region)
        price = _part(self._prices, level, region)
        self._price = None if price is None else np.broadcast_to(price, self._target.shape)

    def residuals(self, mean: np.ndarray, prediction: Prediction, coded: np.ndarray) -> np.ndarray:
        """Quantise and encode a pass; return the dequantised residuals, zero elsewhere."""
        scale = prediction.scale[coded].astype(np.uint8)
        target = self._target[coded].astype(np.float64)
        residual = (target * self._factor - mean[coded]) * (1 / UNITS_PER_STEP)
        aim = residual if self._correction is None else residual + self._correction[coded]
        counts = _symbols_of_bands(coded)
        rate_weight = self._weight_of_pass()
        prices = None if self._price is None else self._price[coded]
        weights = rate_weight if prices is None else np.float32(rate_weight) * prices
        trial = quantize(aim, scale, self._savings, weights)
        offsets = best_offsets(trial, scale, counts, self._tables)
        for offset in offsets[counts >= FEWEST_SYMBOLS]:
            self.stream.encode_offset(int(offset))
        if offsets.any():
            scale = shifted(scale, offsets.repeat(counts))
            trial = quantize(aim, scale, self._savings, weights)
        symbols, quantizer = self._coded_pass(trial, aim, scale, rate_weight, prices)
        units = units_of(symbols, quantizer)
        if self._error is not None:
            self._error[coded] = units * (1 / UNITS_PER_STEP) - residual
        residuals = np.zeros(mean.shape)
        residuals[coded] = units
        return residuals

    def code_tile(self, tile: NativeTile) -> np.ndarray:
        """Choose and write the symbols of a tile on the native engine; return units (float64)."""
        coder = self.stream
        if not isinstance(coder, NativeEncoder):
            raise TypeError("the engine writes to its own streams only")
        (values,) = contiguous([self._target[0]], np.float64)
        kept = [values, self._savings]
        corrections = errors = prices = None
        if self._price is not None:
            kept += contiguous([self._price[0]], np.float32)
            prices = address(kept[-1])
        if self._correction is not None:
            kept += contiguous([self._correction[0]], np.float32)
            corrections = address(kept[-1])
        if self._error is not None:
            errors = np.zeros(values.shape, np.float32)
        weights = [self._weight_of_pass() for _ in range(MOST_PASSES)]
        choice = choice_tables(self._tables)
        targets = TargetsRecord(
            *(address(values), self._factor, corrections),
            *(None if errors is None else address(errors), prices),
            *(address(kept[1]), *choice.addresses),
            tuple(weights),
            tuple(np.float32(weight / SPACING**2) for weight in weights),
        )
        units, symbols = tile.encode(coder, self._tables, targets)
        if self._error is not None and errors is not None:
            self._error[0] = errors
        self._note(symbols)
        return units

    def _weight_of_pass(self) -> float:
        """Return λ of the pass that begins, and count the pass."""
        level, number = self._place
        self._place = level, number + 1
        if self._last is None or self._last[0] != number or level:
            return self._rate_weight
        return self._last[1]

    def _coded_pass(
        self,
        scalar: np.ndarray,
        aim: np.ndarray,
        scale: np.ndarray,
        rate_weight: float,
        prices: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose and encode the symbols of a pass; return symbols and quantisers, (n,).

        Args:
            scalar: symbols of the scalar quantiser, (n,).
            aim: quantisation targets less prediction, in steps, (n,).
            scale: scale indices, (n,) uint8.
            rate_weight: λ, squared steps that a bit is worth.
            prices: factors of λ, (n,), or None.
        """
        order = arranged(scale)
        symbols, quantizer = scalar.copy(), np.full(scalar.size, PLAIN, dtype=np.uint8)
        self.stream.encode(scalar[order.scalar], scale[order.scalar], self._tables)
        if order.tcq.size:
            at, expected = order.tcq, scale[order.tcq]
            price = None if prices is None else prices[at]
            found = search_trellis(aim[at], expected, order.lanes, self._tables, rate_weight, price)
            symbols[at], quantizer[at] = found
            self.stream.encode(symbols[at], expected, self._tables, quantizer[at], order.lanes)
        self._note(symbols)
        return symbols, quantizer


def units_of(symbols: np.ndarray, quantizer: np.ndarray) -> np.ndarray:
    """Dequantise symbols to whole numbers in 1/64 step (float64)."""
    tcq = values_of(symbols, quantizer) * (SPACING * UNITS_PER_STEP)
    return np.where(quantizer == PLAIN, symbols * float(UNITS_PER_STEP), tcq)


def _symbols_of_bands(coded: np.ndarray) -> np.ndarray:
    """Count the symbols of each band of a scan in a pass, (bands,)."""
    return coded[0].reshape(len(coded[0]), -1).sum(1)


def _part(levels: Sequence[np.ndarray], level: int, region: Region) -> np.ndarray | None:
    return levels[level][(..., *region)] if level < len(levels) else None


class DecoderSource(_Stream):
    """Source of symbols that reads them from a stream."""

    def __init__(self, tables: ScaleTables, stream: bytes) -> None:
        super().__init__(tables)
        self._stream = new_decoder(stream)

    def last_low(self, prediction: np.ndarray) -> np.ndarray:
        """Read the last low-pass band; return it in 1/64 step."""
        flat = self._stream.decode(_LAST_LOW_SCALE.repeat(prediction.size), self._tables)
        self._note(flat)
        return prediction + UNITS_PER_STEP * flat.astype(np.float64).reshape(prediction.shape)

    @property
    def coders(self) -> Sequence[TileCoder]:
        """This source alone."""
        return [self]

    def code_tile(self, tile: NativeTile) -> np.ndarray:
        """Read the symbols of a tile on the native engine; return units (float64)."""
        coder = self._stream
        if not isinstance(coder, NativeDecoder):
            raise TypeError("the engine reads its own streams only")
        units, symbols = tile.decode(coder, self._tables)
        self._note(symbols)
        return units

    def begin_tile(self, level: int, region: Region) -> None:
        """Do nothing: all tiles of this source are in one stream."""

    def residuals(self, mean: np.ndarray, prediction: Prediction, coded: np.ndarray) -> np.ndarray:
        """Read a pass; return the dequantised residuals, zero elsewhere."""
        counts = _symbols_of_bands(coded)
        offsets = [
            self._stream.decode_offset() if count >= FEWEST_SYMBOLS else 0 for count in counts
        ]
        expected = prediction.scale[coded].astype(np.uint8)
        residuals = np.zeros(mean.shape)
        residuals[coded] = self._read(shifted(expected, np.repeat(offsets, counts)))
        return residuals

    def _read(self, scale: np.ndarray) -> np.ndarray:
        """Read the symbols of a pass; return dequantised residuals in 1/64 step (float64)."""
        order = arranged(scale)
        symbols, quantizer = np.empty(scale.size, np.int64), np.full(scale.size, PLAIN, np.uint8)
        symbols[order.scalar] = self._stream.decode(scale[order.scalar], self._tables)
        if order.tcq.size:
            at = order.tcq
            symbols[at], quantizer[at] = self._stream.decode_lanes(
                scale[at], order.lanes, self._tables
            )
        self._note(symbols)
        return units_of(symbols, quantizer)


class Together:
    """Sources of several scans of one shape, coded as a batch."""

    def __init__(self, sources: Sequence[SymbolSource]) -> None:
        self._sources = sources

    @property
    def coders(self) -> Sequence[TileCoder]:
        """The sources of all scans."""
        return [coder for source in self._sources for coder in source.coders]

    def last_low(self, prediction: np.ndarray) -> np.ndarray:
        """Code the last low-pass band of every scan; return them in 1/64 step."""
        rows = np.broadcast_to(prediction, (len(self._sources), *prediction.shape[1:]))
        return np.concatenate(
            [s.last_low(row[None]) for s, row in zip(self._sources, rows, strict=True)]
        )

    def begin_tile(self, level: int, region: Region) -> None:
        """Select the subbands of a tile."""
        for source in self._sources:
            source.begin_tile(level, region)

    def residuals(self, mean: np.ndarray, prediction: Prediction, coded: np.ndarray) -> np.ndarray:
        """Code a pass scan by scan; return the dequantised residuals."""
        parts = []
        for number, source in enumerate(self._sources):
            row = slice(number, number + 1)
            gate = None if prediction.gate is None else prediction.gate[row]
            own = Prediction(prediction.mean[row], prediction.scale[row], gate)
            parts.append(source.residuals(mean[row], own, coded))
        return np.concatenate(parts)
