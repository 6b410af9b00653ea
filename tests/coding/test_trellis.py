"""Trellis-coded quantisation: what is chosen can be read again, and is the best choice there is."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.coding.tables import (
    ODD,
    PLAIN,
    SPACING,
    ScaleTables,
    parametric_tables,
    scale_of_index,
    split_index,
    support_radius,
)
from deepstd.coding.trellis import (
    FEWEST_SYMBOLS,
    FIRST_INDEX,
    arranged,
    following,
    quantizer_of,
    search,
    values_of,
)

TABLES = parametric_tables()


def residuals(seed: int, scales: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(seed)
    spread = np.array([scale_of_index(int(index)) for index in scales])
    return random.logistic(0.0, 1.0, scales.size) * spread


def walk(symbols: np.ndarray, lanes: int) -> np.ndarray:
    """Quantisers that a decoder finds."""
    state, found = np.zeros(lanes, dtype=np.int64), []
    for begin in range(0, symbols.size, lanes):
        here = symbols[begin : begin + lanes]
        state = state[: here.size]
        found.append(quantizer_of(state))
        state = following(state, here)
    return np.concatenate(found)


def bits_of(symbol: int, quantizer: int, index: int, tables: ScaleTables) -> float:
    base, _ = split_index(index)
    frequencies = tables.of(base, quantizer)
    return float(np.log2(frequencies.sum() / frequencies[symbol + support_radius(base) + 1]))


@given(st.integers(0, 2**32 - 1), st.integers(0, 700), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_an_arrangement_holds_every_symbol_once(seed: int, count: int, lowest: int) -> None:
    scales = np.random.default_rng(seed).integers(lowest, 64, count).astype(np.uint8)
    order = arranged(scales)
    every = np.concatenate([order.scalar, order.tcq])
    assert np.array_equal(np.sort(every), np.arange(count))
    assert np.all(np.diff(scales[order.tcq].astype(int)) >= 0)
    assert np.all(scales[order.tcq] >= FIRST_INDEX)
    assert order.tcq.size == 0 or order.tcq.size >= FEWEST_SYMBOLS


@given(st.integers(0, 2**32 - 1), st.integers(FEWEST_SYMBOLS, 1500))
@settings(max_examples=25, deadline=None)
def test_symbols_come_back_through_the_coder(seed: int, count: int) -> None:
    scales = np.random.default_rng(seed).integers(FIRST_INDEX, 64, count).astype(np.uint8)
    order = arranged(scales)
    sorted_scales = scales[order.tcq]
    symbols, quantizer = search(
        residuals(seed, sorted_scales), sorted_scales, order.lanes, TABLES, 0.08
    )
    assert np.array_equal(walk(symbols, order.lanes), quantizer)
    coder = RangeEncoder()
    coder.encode(symbols, sorted_scales, TABLES, quantizer, order.lanes)
    decoder, read = RangeDecoder(coder.finish()), []
    state = np.zeros(order.lanes, dtype=np.int64)
    for begin in range(0, count, order.lanes):
        here = sorted_scales[begin : begin + order.lanes]
        state = state[: here.size]
        read.append(decoder.decode(here, TABLES, quantizer_of(state)))
        state = following(state, read[-1])
    assert np.array_equal(np.concatenate(read), symbols)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.3))
@settings(max_examples=15, deadline=None)
def test_no_other_symbols_cost_less(seed: int, weight: float) -> None:
    """Against every combination of the nine symbols around zero, in one lane of four."""
    scales = np.full(4, 18, dtype=np.uint8)
    aim = residuals(seed, scales).clip(-2.0, 2.0)

    def cost(symbols: np.ndarray) -> float:
        quantizer = walk(symbols, 1)
        error = values_of(symbols, quantizer) * SPACING - aim
        bits = [
            bits_of(int(s), int(q), 18, TABLES) for s, q in zip(symbols, quantizer, strict=True)
        ]
        return float(np.square(error).sum() + weight * sum(bits))

    chosen, _ = search(aim, scales, 1, TABLES, weight)
    least = min(cost(np.array(symbols)) for symbols in product(range(-4, 5), repeat=4))
    assert cost(chosen) <= least + 1e-4


def test_a_trellis_needs_fewer_bits_than_rounding_for_the_same_error() -> None:
    """At high rates by nearly the 1.2 dB of Ungerboeck's code: 0.15 bits a symbol at least."""
    scales = np.full(40_000, 30, dtype=np.uint8)
    aim = residuals(3, scales)
    order = arranged(scales)
    symbols, quantizer = search(aim, scales, order.lanes, TABLES, 0.0)
    coder = RangeEncoder()
    coder.encode(symbols, scales, TABLES, quantizer, order.lanes)
    error = np.square(values_of(symbols, quantizer) * SPACING - aim).mean()
    plain = RangeEncoder()
    rounded = np.rint(aim).astype(np.int64)
    plain.encode(rounded, scales, TABLES)
    saved = 8 * (len(plain.finish()) - len(coder.finish())) / scales.size
    worse = 0.5 * np.log2(error / np.square(rounded - aim).mean())
    assert saved - worse > 0.15


def test_values_of_the_odd_quantizer_are_odd_or_zero() -> None:
    symbols = np.arange(-3, 4)
    assert values_of(symbols, np.full(7, ODD)).tolist() == [-5, -3, -1, 0, 1, 3, 5]
    assert values_of(symbols, np.full(7, ODD - 1)).tolist() == [-6, -4, -2, 0, 2, 4, 6]
    assert PLAIN not in quantizer_of(np.arange(8))
