"""Entropy coding: what goes in comes out, in about as many bits as the tables promise."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.coding.tables import (
    LAST_BASE,
    QUANTIZERS,
    SCALE_COUNT,
    ScaleTables,
    parametric_tables,
    scale_of_index,
    symbol_counts,
    tables_from_counts,
)
from deepstd.errors import BundleError, DamagedError

TABLES = parametric_tables()
SYMBOLS = st.integers(-(2**38), 2**38) | st.integers(-3, 3)


@given(st.lists(st.tuples(SYMBOLS, st.integers(0, SCALE_COUNT - 1)), min_size=1, max_size=60))
def test_any_symbols_come_back(pairs: list[tuple[int, int]]) -> None:
    symbols = np.array([s for s, _ in pairs])
    scales = np.array([i for _, i in pairs], dtype=np.uint8)
    coder = RangeEncoder()
    coder.encode(symbols, scales, TABLES)
    assert np.array_equal(RangeDecoder(coder.finish()).decode(scales, TABLES), symbols)


@given(npst.arrays(np.uint8, st.integers(0, 40), elements=st.integers(0, 63)))
def test_several_calls_share_one_stream(scales: np.ndarray) -> None:
    symbols = np.arange(scales.size) - 5
    coder = RangeEncoder()
    coder.encode(symbols, scales, TABLES)
    coder.encode_bits(5, 3)
    coder.encode(symbols[::-1], scales, TABLES)
    decoder = RangeDecoder(coder.finish())
    assert np.array_equal(decoder.decode(scales, TABLES), symbols)
    assert decoder.decode_bits(3) == 5
    assert np.array_equal(decoder.decode(scales, TABLES), symbols[::-1])


@pytest.mark.parametrize("index", [0, 12, 20, 35, 36, 50, 63])
def test_size_is_near_the_entropy(index: int) -> None:
    random = np.random.default_rng(index)
    scale = scale_of_index(index)
    symbols = np.rint(random.logistic(scale=scale, size=40_000)).astype(np.int64)
    coder = RangeEncoder()
    coder.encode(symbols, np.full(symbols.size, index, dtype=np.uint8), TABLES)
    edges = (np.abs(symbols)[:, None] + np.array([-0.5, 0.5])) / scale
    near, far = np.exp(-edges[:, 0]), np.exp(-edges[:, 1])
    mass = near / (1 + near) - far / (1 + far)
    ideal = -np.log2(np.maximum(mass, 1e-300)).sum() / 8
    assert len(coder.finish()) < 1.01 * ideal + 60


def test_short_streams_are_cut_to_the_byte() -> None:
    lengths = set()
    for count in range(1, 40):
        coder = RangeEncoder()
        coder.encode(np.ones(count, int), np.full(count, 20, dtype=np.uint8), TABLES)
        lengths.add(len(coder.finish()) % 4)
    assert lengths == {0, 1, 2, 3}


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_no_stream_a_byte_shorter_would_do(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scales = random.integers(0, 30, count).astype(np.uint8)
    symbols = np.rint(random.normal(0, np.exp2((scales - 20.0) / 4))).astype(int)
    coder = RangeEncoder()
    coder.encode(symbols, scales, TABLES)
    data = coder.finish()
    assert np.array_equal(RangeDecoder(data).decode(scales, TABLES), symbols)
    for last in range(256) if len(data) > 1 else ():
        shorter = data[:-2] + bytes([last])
        with contextlib.suppress(DamagedError):
            assert not np.array_equal(RangeDecoder(shorter).decode(scales, TABLES), symbols)


def test_tables_fitted_to_counts_code_them_in_fewer_bits() -> None:
    random = np.random.default_rng(0)
    symbols = 3 * random.integers(-1, 2, size=20_000)
    scales = np.full(symbols.size, 24, dtype=np.uint8)
    fitted = tables_from_counts(symbol_counts(symbols, scales, np.zeros_like(scales)))
    sizes = []
    for tables in (TABLES, fitted):
        coder = RangeEncoder()
        coder.encode(symbols, scales, tables)
        data = coder.finish()
        assert np.array_equal(RangeDecoder(data).decode(scales, tables), symbols)
        sizes.append(len(data))
    assert sizes[1] < 0.7 * sizes[0]


def test_tables_survive_storage() -> None:
    again = ScaleTables.from_array(TABLES.to_array())
    for ours, theirs in zip(TABLES.frequencies, again.frequencies, strict=True):
        assert np.array_equal(ours, theirs)
    assert len(again.frequencies) == QUANTIZERS * (LAST_BASE + 1)


@pytest.mark.parametrize("damage", [lambda a: a[:-1], lambda a: a * 0, lambda a: a + 1])
def test_damaged_tables_are_refused(damage: object) -> None:
    with pytest.raises(BundleError):
        ScaleTables.from_array(damage(TABLES.to_array()))  # type: ignore[operator]


@given(st.binary(max_size=40), st.integers(0, 63))
def test_random_bytes_decode_or_are_refused(data: bytes, index: int) -> None:
    scales = np.full(50, index, dtype=np.uint8)
    try:
        symbols = RangeDecoder(data).decode(scales, TABLES)
    except DamagedError:
        return
    assert symbols.shape == (50,)
