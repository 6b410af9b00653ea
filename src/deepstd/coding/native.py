"""Range coder and trellis search of the native engine: the streams and symbols of the reference.

    residuals ─ search_trellis ─▶ symbols, quantisers
    encode(symbols, scale_index, tables) … finish() ─▶ bytes ─▶ decode(scale_index, tables) …

`constriction` turns frequencies of 2**20 into cumulative frequencies of 2**24 by one product and
one floor; both are exact here, too, in integers.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from deepstd.coding.adaptation import (
    LARGE_CLASSES,
    LARGEST_OFFSET,
    OFFSET_FREQUENCIES,
    OWN_BITS,
    bits_by_offset,
)
from deepstd.coding.tables import (
    PLAIN,
    QUANTIZERS,
    SCALE_COUNT,
    SPACING,
    TOTAL,
    ScaleTables,
    split_index,
    support_radius,
)
from deepstd.coding.trellis import COST_TO, NEXT_STATES, STATE_BEFORE, spacing_weights, trellis_bits
from deepstd.engine.library import DAMAGED, TOO_LARGE, address
from deepstd.errors import DamagedError

_PRECISION = 24
_BUCKET_BITS = 8
_TRIM_LIMIT = 8192
_FIELDS = ("cumulative", "begin", "entries", "radius", "low_bits", "first")


class PackedTables(ctypes.Structure):
    """The tables of one bundle as the engine reads them; keeps its arrays alive."""

    _fields_ = [(name, ctypes.c_void_p) for name in _FIELDS]
    arrays: tuple[np.ndarray, ...]


@lru_cache(maxsize=16)
def packed_tables(tables: ScaleTables) -> PackedTables:
    """Return tables as the engine reads them."""
    cumulative: list[np.ndarray] = []
    rows: list[tuple[int, int, int, int]] = []
    first: list[np.ndarray] = []
    begins: dict[tuple[int, int], int] = {}
    size = 0
    for kind in range(SCALE_COUNT * QUANTIZERS):
        index, quantizer = divmod(kind, QUANTIZERS)
        base, low_bits = split_index(index)
        if (base, quantizer) not in begins:
            begins[base, quantizer] = size
            cumulative.append(_cumulative(tables.of(base, quantizer)))
            size += cumulative[-1].size
        table = tables.of(base, quantizer)
        rows.append((begins[base, quantizer], table.size, support_radius(base), low_bits))
        edges = np.arange(1 << _BUCKET_BITS) << (_PRECISION - _BUCKET_BITS)
        first.append(np.searchsorted(_cumulative(table)[1:], edges, side="right"))
    columns = (np.ascontiguousarray(c, np.int32) for c in zip(*rows, strict=True))
    arrays = (
        np.concatenate(cumulative),
        *columns,
        np.ascontiguousarray(np.stack(first), np.int32),
    )
    packed = PackedTables(*map(address, arrays))
    packed.arrays = arrays
    return packed


def _cumulative(frequencies: np.ndarray) -> np.ndarray:
    """Return cumulative frequencies of 2**24, (entries + 1,) uint32, as `constriction` makes them.

    Every entry has one unit; the others are shared out by frequency and rounded down.
    """
    below = np.concatenate([[0], np.cumsum(frequencies)[:-1]])
    shared = (1 << _PRECISION) - frequencies.size
    left = below * shared // TOTAL + np.arange(frequencies.size)
    return np.append(left, 1 << _PRECISION).astype(np.uint32)


_OFFSET_CUMULATIVE = _cumulative(OFFSET_FREQUENCIES)


def _kinds(scale_index: np.ndarray, quantizer: int | np.ndarray) -> np.ndarray:
    kinds = scale_index.reshape(-1).astype(np.uint8) * np.uint8(QUANTIZERS)
    return np.ascontiguousarray(kinds + np.asarray(quantizer, dtype=np.uint8))


class NativeEncoder:
    """A range encoder of the engine; see `range_coder.RangeEncoder`."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._coder = library.encoder_new()
        if not self._coder:
            raise MemoryError("no memory for a range encoder")

    def __del__(self) -> None:
        self._library.encoder_free(self._coder)

    @property
    def handle(self) -> Any:
        """Address of this encoder for functions of the engine."""
        return self._coder

    def encode(
        self,
        symbols: np.ndarray,
        scale_index: np.ndarray,
        tables: ScaleTables,
        quantizer: int | np.ndarray = PLAIN,
        lanes: int = 0,
    ) -> None:
        """Encode integer symbols, each with the table of its scale index and quantiser.

        Args:
            symbols, scale_index: of any equal shapes.
            tables: frequencies.
            quantizer: of all symbols or of each.
            lanes: number of consecutive symbols that are sorted by table together; 0: all.
        """
        flat = np.ascontiguousarray(symbols.reshape(-1), np.int64)
        kinds = _kinds(scale_index, quantizer)
        packed = packed_tables(tables)
        result = self._library.encoder_encode(
            self._coder, ctypes.byref(packed), address(flat), address(kinds), flat.size, lanes
        )
        if result == TOO_LARGE:
            raise ValueError("a symbol has more than 40 bits")
        checked(result)

    def encode_bits(self, value: int, bits: int) -> None:
        """Encode an unsigned integer of at most 16 bits as it is."""
        width = 1 << (_PRECISION - bits)
        checked(self._library.encoder_put(self._coder, value * width, width))

    def encode_offset(self, offset: int) -> None:
        """Encode the offset of a band's scale indices; see `adaptation`."""
        left, right = _OFFSET_CUMULATIVE[offset + LARGEST_OFFSET :][:2].tolist()
        checked(self._library.encoder_put(self._coder, left, right - left))

    def finish(self) -> bytes:
        """Return the stream; a short one is cut to the fewest bytes that still decode."""
        out = np.empty(_TRIM_LIMIT, np.uint8)
        size = self._library.encoder_finish(self._coder, address(out), out.size)
        if size > out.size:
            out = np.empty(size, np.uint8)
            size = self._library.encoder_finish(self._coder, address(out), out.size)
        return out[:size].tobytes()


class NativeDecoder:
    """A range decoder of the engine; see `range_coder.RangeDecoder`."""

    def __init__(self, library: Any, data: bytes) -> None:
        self._library = library
        self._data = np.frombuffer(data, np.uint8)
        self._coder = library.decoder_new(address(self._data), self._data.size)
        if not self._coder:
            raise MemoryError("no memory for a range decoder")

    def __del__(self) -> None:
        self._library.decoder_free(self._coder)

    @property
    def handle(self) -> Any:
        """Address of this decoder for functions of the engine."""
        return self._coder

    @property
    def pass_tables(self) -> tuple[int, int]:
        """Addresses of what reading a pass needs besides the tables of a bundle."""
        return address(_OFFSET_CUMULATIVE), address(_NEXT)

    def decode(
        self, scale_index: np.ndarray, tables: ScaleTables, quantizer: int | np.ndarray = PLAIN
    ) -> np.ndarray:
        """Return symbols (int64) in the shape of ``scale_index``.

        Args:
            scale_index: of each symbol.
            tables: frequencies.
            quantizer: of all symbols or of each, as they were coded with.

        Raises:
            DamagedError: the stream decodes to no symbols.
        """
        kinds = _kinds(scale_index, quantizer)
        symbols = np.empty(kinds.size, np.int64)
        packed = packed_tables(tables)
        checked(
            self._library.decoder_decode(
                self._coder, ctypes.byref(packed), address(kinds), kinds.size, address(symbols)
            )
        )
        return symbols.reshape(scale_index.shape)

    def decode_lanes(
        self, scale_index: np.ndarray, lanes: int, tables: ScaleTables
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return symbols (int64) of trellis lanes, and their quantisers (uint8), (n,).

        Args:
            scale_index: (n,) uint8, in the order of `trellis.Arrangement.tcq`.
            lanes: number of lanes.
            tables: frequencies.

        Raises:
            DamagedError: the stream decodes to no symbols.
        """
        scales = np.ascontiguousarray(scale_index, np.uint8)
        symbols, quantizers = np.empty(scales.size, np.int64), np.empty(scales.size, np.uint8)
        packed = packed_tables(tables)
        checked(
            self._library.decoder_walk(
                *(self._coder, ctypes.byref(packed), address(scales), scales.size, lanes),
                *(address(_NEXT), address(symbols), address(quantizers)),
            )
        )
        return symbols, quantizers

    def decode_bits(self, bits: int) -> int:
        """Return an unsigned integer coded by `NativeEncoder.encode_bits`."""
        edges = _uniform(bits)
        return checked(self._library.decoder_get(self._coder, address(edges), edges.size - 1))

    def decode_offset(self) -> int:
        """Return an offset coded by `NativeEncoder.encode_offset`."""
        edges = _OFFSET_CUMULATIVE
        entry = self._library.decoder_get(self._coder, address(edges), edges.size - 1)
        return checked(entry) - LARGEST_OFFSET


_NEXT, _BEFORE, _TAKEN = (
    np.ascontiguousarray(table, np.uint8) for table in (NEXT_STATES, STATE_BEFORE, COST_TO)
)


@dataclass(frozen=True)
class ChoiceTables:
    """Tables that an encoder chooses by: of the trellis, then of offsets of scale indices.

    Attributes:
        arrays: tables, which live as long as this object.
        addresses: of the arrays.
    """

    arrays: tuple[np.ndarray, ...]
    addresses: tuple[int, ...]


@lru_cache(maxsize=16)
def choice_tables(tables: ScaleTables) -> ChoiceTables:
    """Return what an encoder chooses by, as the engine reads it."""
    trellis = trellis_bits(tables), _BEFORE, _TAKEN
    offsets = bits_by_offset(tables), OWN_BITS, LARGE_CLASSES, _OFFSET_CUMULATIVE
    arrays = (*trellis, *offsets)
    return ChoiceTables(arrays, tuple(map(address, arrays)))


@lru_cache(maxsize=17)
def _uniform(bits: int) -> np.ndarray:
    return (np.arange((1 << bits) + 1) << (_PRECISION - bits)).astype(np.uint32)


def checked(result: int) -> int:
    """Return a result of the engine that is no error."""
    if result == DAMAGED:
        raise DamagedError("the coded symbols are damaged: no valid decoding")
    if result < 0:
        raise MemoryError("no memory for the range coder")
    return result


def search_trellis(
    library: Any,
    residual: np.ndarray,
    scale_index: np.ndarray,
    lanes: int,
    tables: ScaleTables,
    rate_weight: float,
    prices: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return symbols (int64) and quantisers (uint8) of least cost; see `trellis.search`."""
    points = np.ascontiguousarray(residual / SPACING, np.float64)
    scales = np.ascontiguousarray(scale_index, np.uint8)
    bits = trellis_bits(tables)
    weights = np.ascontiguousarray(spacing_weights(rate_weight, prices, points.size))
    symbols, quantizers = np.empty(points.size, np.int64), np.empty(points.size, np.uint8)
    result = library.trellis_search(
        *(address(points), address(scales), points.size, lanes, address(bits)),
        *map(address, (weights, _BEFORE, _TAKEN, symbols, quantizers)),
    )
    checked(result)
    return symbols, quantizers
