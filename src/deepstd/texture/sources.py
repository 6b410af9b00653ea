"""Where the symbols of one stream come from: quantised, or read.

    true subbands, predicted mean ─ EncoderSource: quantiser ─▶ symbols ─▶ range coder
    stream ─ DecoderSource: range coder ─▶ symbols

    several of them ─ Together ─▶ one loop over scans of one shape, a stream for each

Both keep the symbols, whose hash a file holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from deepstd.coding.adaptation import FEWEST_SYMBOLS, best_offsets, shifted
from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.coding.tables import ScaleTables
from deepstd.texture.context import Prediction
from deepstd.texture.features import UNITS_PER_STEP
from deepstd.texture.levels import SymbolSource
from deepstd.texture.quantizer import quantize
from deepstd.texture.tiling import Region

_LAST_LOW_SCALE = np.array([48], dtype=np.uint8)


def hash_of(symbols: Sequence[np.ndarray]) -> bytes:
    """SHA-256 of symbols in coding order."""
    digest = hashlib.sha256()
    for part in symbols:
        digest.update(as_hashed(part))
    return digest.digest()


def as_hashed(symbols: np.ndarray) -> bytes:
    """Symbols as the hash sees them."""
    return symbols.astype("<i4").tobytes()


class _Stream:
    """Symbols of one stream, kept in few bytes for the hash.

    Attributes:
        symbols_coded: so far, in coding order.
    """

    def __init__(self, tables: ScaleTables) -> None:
        self._tables = tables
        self.symbols_coded: list[np.ndarray] = []

    def _note(self, symbols: np.ndarray) -> None:
        small = symbols.size == 0 or -128 <= symbols.min() <= symbols.max() < 128
        self.symbols_coded.append(symbols.astype(np.int8 if small else np.int32))


class EncoderSource(_Stream):
    """Quantises known subbands.

    Args:
        tables: of the network.
        last_low: last low subband, normalised.
        highs: high subbands of each level, normalised, finest first.
        factor: units a normalised value.
        rate_weight: see `quantizer.quantize`.
        savings: see `quantizer.symbol_savings`; on the device where the tiles are coded.
        corrections: what to add to the coefficients of the finest levels, in steps; see
            `refinement`.
        errors: like the corrections; gets what the decoded coefficients err by, in steps.

    Attributes:
        stream: gets the symbols.
    """

    def __init__(
        self,
        tables: ScaleTables,
        last_low: torch.Tensor,
        highs: list[torch.Tensor],
        factor: float,
        rate_weight: float,
        savings: torch.Tensor,
        corrections: Sequence[torch.Tensor] = (),
        errors: Sequence[torch.Tensor] = (),
    ) -> None:
        super().__init__(tables)
        self._corrections, self._errors = corrections, errors
        self._correction: torch.Tensor | None = None
        self._error: torch.Tensor | None = None
        self._last_low, self._highs = last_low, highs
        self._factor, self._rate_weight = factor, rate_weight
        self._savings = savings
        self.stream = RangeEncoder()
        self._target = last_low

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """The last low subband in units."""
        truth = self._last_low.to(prediction.dtype) * self._factor
        symbols = torch.floor((truth - prediction) * (1 / UNITS_PER_STEP) + 0.5)
        flat = symbols.cpu().numpy().astype(np.int64).reshape(-1)
        self.stream.encode(flat, _LAST_LOW_SCALE.repeat(flat.size), self._tables)
        self._note(flat)
        return prediction + UNITS_PER_STEP * symbols

    def begin_tile(self, level: int, region: Region) -> None:
        """Select the subbands of a tile."""
        device = self._savings.device
        self._target = self._highs[level][(..., *region)].to(device)
        self._correction = _part(self._corrections, level, region)
        if self._correction is not None:
            self._correction = self._correction.to(device)
        self._error = _part(self._errors, level, region)

    def symbols(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """Symbols of a pass, chosen and coded; zero elsewhere."""
        places = coded.flatten().nonzero()[:, 0]
        expected = prediction.scale.flatten()[places]
        target = self._target.flatten()[places].to(mean.dtype)
        residual = (target * self._factor - mean.flatten()[places]) * (1 / UNITS_PER_STEP)
        aim = residual
        if self._correction is not None:
            aim = residual + self._correction.flatten()[places]
        chosen = quantize(aim, expected, self._savings, self._rate_weight)
        scale, flat = expected.cpu().numpy().astype(np.uint8), _whole(chosen)
        counts = _symbols_of_bands(coded)
        offsets = best_offsets(flat, scale, counts, self._tables)
        if offsets.any():
            scale = shifted(scale, offsets.repeat(counts))
            known = torch.from_numpy(scale).to(expected)
            chosen = quantize(aim, known, self._savings, self._rate_weight)
            flat = _whole(chosen)
        for offset in offsets[counts >= FEWEST_SYMBOLS]:
            self.stream.encode_offset(int(offset))
        if self._error is not None:
            device, dtype = self._error.device, self._error.dtype
            self._error.masked_scatter_(coded.to(device), (chosen - residual).to(device, dtype))
        self.stream.encode(flat, scale, self._tables)
        self._note(flat)
        symbols = mean.new_zeros(mean.numel())
        symbols[places] = chosen
        return symbols.reshape(mean.shape)


def _whole(symbols: torch.Tensor) -> np.ndarray:
    return symbols.cpu().numpy().astype(np.int64)


def _symbols_of_bands(coded: torch.Tensor) -> np.ndarray:
    """How many symbols each band of one scan has in a pass."""
    return coded[0].flatten(1).sum(1).cpu().numpy()


def _part(levels: Sequence[torch.Tensor], level: int, region: Region) -> torch.Tensor | None:
    return levels[level][(..., *region)] if level < len(levels) else None


class DecoderSource(_Stream):
    """Reads symbols from a stream."""

    def __init__(self, tables: ScaleTables, stream: bytes) -> None:
        super().__init__(tables)
        self._stream = RangeDecoder(stream)

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """The last low subband in units."""
        flat = self._stream.decode(_LAST_LOW_SCALE.repeat(prediction.numel()), self._tables)
        self._note(flat)
        symbols = torch.from_numpy(flat.astype(np.float64)).to(prediction)
        return prediction + UNITS_PER_STEP * symbols.reshape(prediction.shape)

    def begin_tile(self, level: int, region: Region) -> None:
        """All tiles that this source is asked for are in its one stream."""

    def symbols(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """Symbols of a pass, decoded; zero elsewhere."""
        counts = _symbols_of_bands(coded)
        offsets = [
            self._stream.decode_offset() if count >= FEWEST_SYMBOLS else 0 for count in counts
        ]
        expected = prediction.scale[coded].cpu().numpy().astype(np.uint8)
        scale = shifted(expected, np.repeat(offsets, counts))
        flat = self._stream.decode(scale, self._tables)
        self._note(flat)
        values = torch.from_numpy(flat.astype(np.float64)).to(mean)
        return torch.zeros_like(mean).masked_scatter(coded, values)


class Together:
    """The sources of several scans of one shape, which networks see as one batch."""

    def __init__(self, sources: Sequence[SymbolSource]) -> None:
        self._sources = sources

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """The last low subbands in units."""
        rows = prediction.expand(len(self._sources), *prediction.shape[1:])
        return torch.cat(
            [s.last_low(row[None]) for s, row in zip(self._sources, rows, strict=True)]
        )

    def begin_tile(self, level: int, region: Region) -> None:
        """Select the subbands of a tile."""
        for source in self._sources:
            source.begin_tile(level, region)

    def symbols(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """Symbols of a pass, scan by scan."""
        parts = []
        for number, source in enumerate(self._sources):
            row = slice(number, number + 1)
            gate = None if prediction.gate is None else prediction.gate[row]
            own = Prediction(prediction.mean[row], prediction.scale[row], gate)
            parts.append(source.symbols(mean[row], own, coded))
        return torch.cat(parts)
