"""Range coder of the reference implementation, based on `constriction`.

    encode(symbols, scale_index, tables) … finish() ─▶ bytes ─▶ decode(scale_index, tables) …

Symbols that share a scale and a quantiser are identically distributed and are coded together. The
decoder knows the scales before it reads the symbols. The probabilities given to `constriction` are
dyadic fractions of at most 20 bits. Its conversion to 24-bit fixed point is exact in float64, so
every machine codes with the same integers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import constriction
import numpy as np

from deepstd.coding.adaptation import LARGEST_OFFSET, OFFSET_FREQUENCIES
from deepstd.coding.tables import (
    PLAIN,
    QUANTIZERS,
    SCALE_COUNT,
    TOTAL,
    ScaleTables,
    split_index,
    support_radius,
)
from deepstd.coding.trellis import following, quantizer_of
from deepstd.errors import DamagedError

# Bytes of a word of the coder.
_WORD = 4
# Bytes; longer streams are not trimmed, because a few bytes do not count there.
_TRIM_LIMIT = 8192
# Most bits of an escaped magnitude.
_ESCAPE_BITS = 40
_KINDS = SCALE_COUNT * QUANTIZERS
_LOW_BITS = np.array([split_index(index)[1] for index in range(SCALE_COUNT)])
_RADIUS = np.array([support_radius(split_index(index)[0]) for index in range(SCALE_COUNT)])
# A decoder has read two words beyond its position; and one to spare.
_READ_AHEAD = 3
# The extension module has no type stubs.
_stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue]
_Place = tuple[int, tuple[int, int]]


@lru_cache(maxsize=1024)
def _coding_of(tables: ScaleTables, kind: int) -> tuple[Any, int, int]:
    """Return the model of the high parts, their radius and the low bits of a kind of symbol."""
    index, quantizer = divmod(kind, QUANTIZERS)
    base, low_bits = split_index(index)
    return _model_of(tables.of(base, quantizer)), support_radius(base), low_bits


@lru_cache(maxsize=64)
def _uniform(size: int) -> Any:
    return _stream.model.Uniform(size)


@lru_cache(maxsize=1)
def _bernoulli() -> Any:
    return _stream.model.Bernoulli(perfect=False)


@lru_cache(maxsize=1)
def _offsets() -> Any:
    return _model_of(OFFSET_FREQUENCIES)


def _model_of(frequencies: np.ndarray) -> Any:
    return _stream.model.Categorical(frequencies / np.float64(frequencies.sum()), perfect=False)


def _kinds(scale_index: np.ndarray, quantizer: int | np.ndarray) -> np.ndarray:
    """Return the kind of each symbol, (n,) int64; symbols of one kind share a distribution."""
    return scale_index.reshape(-1).astype(np.int64) * QUANTIZERS + quantizer


def _runs(kinds: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Sort positions by kind; return them with kind, begin and end of each run of one kind."""
    # Of short integers the stable sort is a radix sort.
    order = kinds.astype(np.min_scalar_type(kinds.max(initial=0))).argsort(kind="stable")
    ascending = kinds[order]
    changes = (ascending[1:] != ascending[:-1]).nonzero()[0] + 1
    begins = [0, *changes.tolist()] if kinds.size else []
    ends = [*begins[1:], kinds.size]
    return order, list(zip(ascending[begins].tolist(), begins, ends, strict=False))


class RangeEncoder:
    """Encoder of arrays of symbols into one stream of bytes."""

    def __init__(self) -> None:
        self._coder = _stream.queue.RangeEncoder()
        # Entries, their model, and the position of the coder before them.
        self._log: list[tuple[np.ndarray, tuple[Any, ...], _Place]] = []

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
            symbols, scale_index: symbols and their scale indices, of equal shapes.
            tables: frequencies.
            quantizer: quantiser of all symbols or of each.
            lanes: number of consecutive symbols that are sorted by table together; 0: all.
        """
        kinds = _kinds(scale_index, quantizer)
        step = np.arange(kinds.size) // lanes * _KINDS if lanes else 0
        order, runs = _runs(kinds + step)
        flat = symbols.reshape(-1).astype(np.int64)[order]
        indices = scale_index.reshape(-1)[order]
        high, radius = flat >> _LOW_BITS[indices], _RADIUS[indices]
        escaped = np.abs(high) > radius
        any_escaped = bool(escaped.any())
        entries = np.where(escaped, 0, high + radius + 1).astype(np.int32)
        for kind, begin, end in runs:
            model, largest, low_bits = _coding_of(tables, kind % _KINDS)
            self._put(entries[begin:end], model)
            if low_bits:
                low = flat[begin:end] & ((1 << low_bits) - 1)
                self._put(low.astype(np.int32), _uniform(1 << low_bits))
            if any_escaped:
                for value in high[begin:end][escaped[begin:end]]:
                    self._put_escape(int(value), largest)

    def encode_bits(self, value: int, bits: int) -> None:
        """Encode an unsigned integer of at most 16 bits as it is."""
        self._put(np.array([value], dtype=np.int32), _uniform(1 << bits))

    def encode_offset(self, offset: int) -> None:
        """Encode the offset of a band's scale indices, −4 … 4 (`adaptation`)."""
        self._put(np.array([offset + LARGEST_OFFSET], dtype=np.int32), _offsets())

    def encode_binary(self, bits: np.ndarray, chances: np.ndarray) -> None:
        """Encode bits, each with a probability of its own.

        Args:
            bits: 0 or 1, (n,).
            chances: probability of a 1 in units of 2**-20, whole numbers 1 … 2**20 − 1, (n,).
        """
        self._put(bits.astype(np.int32), _bernoulli(), chances / np.float64(TOTAL))

    def _put(self, entries: np.ndarray, *model: Any) -> None:
        """Encode entries with a model and, for some models, a parameter of each entry."""
        place = self._coder.pos()
        self._coder.encode(entries, *model)
        if place[0] * _WORD <= _TRIM_LIMIT:
            self._log.append((entries, model, place))

    def _put_escape(self, value: int, radius: int) -> None:
        """Encode the sign, then the excess magnitude as an Elias gamma code."""
        excess = abs(value) - radius
        bits = excess.bit_length()
        if bits > _ESCAPE_BITS:
            raise ValueError(f"symbol {value} has more than {_ESCAPE_BITS} bits")
        self.encode_bits(int(value < 0), 1)
        self.encode_bits(bits, 6)
        for shift in range(bits - 2, -1, -1):
            self.encode_bits((excess >> shift) & 1, 1)

    def finish(self) -> bytes:
        """Return the stream; a short stream is cut to the fewest bytes that still decode."""
        words = self._coder.get_compressed()
        data = words.astype(">u4").tobytes()
        return self._trim(data) if len(data) <= _TRIM_LIMIT else data

    def _trim(self, data: bytes) -> bytes:
        """Drop tail bytes that a decoder reading zeros in their place does not need."""
        whole = _to_words(data)
        best, low, high = data, max(0, len(data) - 2 * _WORD), len(data)
        while low < high:  # bisection: the more bytes, the nearer to the whole stream
            keep = (low + high) // 2
            prefix = data[:keep]
            raised = (int.from_bytes(prefix, "big") + 1).to_bytes(keep + 1, "big")[1:]
            found = next((c for c in (prefix, raised) if self._decodes(c, whole)), None)
            if found is None:
                low = keep + 1
            else:
                best, high = found, keep
        return best.rstrip(b"\0")

    def _decodes(self, data: bytes, whole: np.ndarray) -> bool:
        """Return whether a cut stream decodes to the same entries.

        Entries that are read before the first changed word are not decoded again.
        """
        words = _to_words(data)
        both = min(len(words), len(whole))
        changed = np.flatnonzero(words[:both] != whole[:both])
        same = int(changed[0]) if len(changed) else both
        begin = sum(place[0] + _READ_AHEAD <= same for _, _, place in self._log) - 1
        decoder = _stream.queue.RangeDecoder(words)
        if begin > 0:
            decoder.seek(*self._log[begin][2])
        try:
            return all(
                np.array_equal(_decoded(decoder, model, entries.size), entries)
                for entries, model, _ in self._log[max(begin, 0) :]
            )
        except AssertionError:
            return False


def _decoded(coder: Any, model: tuple[Any, ...], count: int) -> np.ndarray:
    """Decode entries; a model with a parameter of each entry takes their number from it."""
    return coder.decode(*model) if len(model) > 1 else coder.decode(*model, count)


def _to_words(data: bytes) -> np.ndarray:
    padding = -len(data) % _WORD + 2 * _WORD
    return np.frombuffer(data + bytes(padding), dtype=">u4").astype(np.uint32)


class RangeDecoder:
    """Decoder of the streams of `RangeEncoder`, called in the order of the encoder."""

    def __init__(self, data: bytes) -> None:
        self._coder = _stream.queue.RangeDecoder(_to_words(data))

    def decode(
        self, scale_index: np.ndarray, tables: ScaleTables, quantizer: int | np.ndarray = PLAIN
    ) -> np.ndarray:
        """Decode symbols (int64) in the shape of ``scale_index``.

        Args:
            scale_index: scale index of each symbol.
            tables: frequencies.
            quantizer: quantiser of all symbols or of each.

        Raises:
            DamagedError: the stream decodes to no symbols.
        """
        order, runs = _runs(_kinds(scale_index, quantizer))
        flat = np.empty(scale_index.size, dtype=np.int64)
        for kind, begin, end in runs:
            model, radius, low_bits = _coding_of(tables, kind)
            entries = self._get(model, end - begin).astype(np.int64)
            low = self._get(_uniform(1 << low_bits), end - begin) if low_bits else 0
            high = entries - radius - 1
            if not entries.all():
                for place in np.flatnonzero(entries == 0):
                    high[place] = self._get_escape(radius)
            flat[order[begin:end]] = (high << low_bits) + low
        return flat.reshape(scale_index.shape)

    def decode_lanes(
        self, scale_index: np.ndarray, lanes: int, tables: ScaleTables
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decode TCQ symbols (int64) and their quantisers (uint8), (n,).

        Args:
            scale_index: scale indices in the order of `trellis.Arrangement.tcq`, (n,).
            lanes: number of lanes.
            tables: frequencies.

        Raises:
            DamagedError: the stream decodes to no symbols.
        """
        symbols = np.empty(scale_index.size, np.int64)
        quantizers = np.empty(scale_index.size, np.uint8)
        state = np.zeros(lanes, dtype=np.int64)
        for begin in range(0, scale_index.size, lanes):
            at = slice(begin, begin + lanes)
            state = state[: scale_index[at].size]
            quantizers[at] = quantizer_of(state)
            symbols[at] = self.decode(scale_index[at], tables, quantizers[at])
            state = following(state, symbols[at])
        return symbols, quantizers

    def decode_bits(self, bits: int) -> int:
        """Decode an unsigned integer of ``bits`` bits."""
        return int(self._get(_uniform(1 << bits), 1)[0])

    def decode_offset(self) -> int:
        """Decode the offset of a band's scale indices, −4 … 4."""
        return int(self._get(_offsets(), 1)[0]) - LARGEST_OFFSET

    def decode_binary(self, chances: np.ndarray) -> np.ndarray:
        """Decode bits (uint8), given the probability of a 1 in units of 2**-20, (n,)."""
        probabilities = chances / np.float64(TOTAL)
        return self._get(_bernoulli(), probabilities.size, probabilities).astype(np.uint8)

    def _get(self, model: object, count: int, *parameters: np.ndarray) -> np.ndarray:
        try:
            return _decoded(self._coder, (model, *parameters), count)
        except AssertionError as error:
            raise DamagedError("the coded symbols are damaged: no valid decoding") from error

    def _get_escape(self, radius: int) -> int:
        negative = self.decode_bits(1)
        bits = self.decode_bits(6)
        if not 1 <= bits <= _ESCAPE_BITS:
            raise DamagedError("the coded symbols are damaged: an escaped value is too large")
        excess = 1
        for _ in range(bits - 1):
            excess = (excess << 1) | self.decode_bits(1)
        value = radius + excess
        return -value if negative else value
