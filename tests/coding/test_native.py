"""The native engine codes the same symbols to the same bytes as the reference, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.coding import trellis
from deepstd.coding.native import NativeDecoder, NativeEncoder, search_trellis
from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.coding.tables import SCALE_COUNT, parametric_tables
from deepstd.engine.library import engine
from deepstd.errors import DamagedError

TABLES = parametric_tables()
SEEDS = st.integers(0, 2**32 - 1)

pytestmark = pytest.mark.skipif(engine() is None, reason="the native engine is not built here")


def random_symbols(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols with some far outside the tables, their scale indices and quantisers."""
    random = np.random.default_rng(seed)
    scales = random.integers(0, SCALE_COUNT, count).astype(np.uint8)
    size = 2.0 ** ((scales.astype(float) - 20) / 4) * random.choice([1, 50], count, p=[0.98, 0.02])
    symbols = np.rint(random.logistic(size=count) * size).astype(np.int64)
    return symbols, scales, random.integers(0, 3, count).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 3000), st.sampled_from([0, 1, 7, 130]))
def test_streams_are_the_same_to_the_byte(seed: int, count: int, lanes: int) -> None:
    symbols, scales, quantizers = random_symbols(seed, count)
    streams = []
    for coder in (RangeEncoder(), NativeEncoder(engine())):
        coder.encode(symbols, scales, TABLES, quantizers, lanes)
        coder.encode_offset(seed % 9 - 4)
        coder.encode_bits(seed % 1000, 10)
        coder.encode(symbols[:9], scales[:9], TABLES)
        streams.append(coder.finish())
    assert streams[0] == streams[1]


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 2000))
def test_streams_of_either_decode_with_the_other(seed: int, count: int) -> None:
    symbols, scales, quantizers = random_symbols(seed, count)
    coder = NativeEncoder(engine())
    coder.encode(symbols, scales, TABLES, quantizers)
    coder.encode_offset(-3)
    coder.encode_bits(5, 3)
    data = coder.finish()
    for decoder in (RangeDecoder(data), NativeDecoder(engine(), data)):
        assert np.array_equal(decoder.decode(scales, TABLES, quantizers), symbols)
        assert decoder.decode_offset() == -3
        assert decoder.decode_bits(3) == 5


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(128, 6000), st.floats(0.01, 1.0))
def test_the_trellis_chooses_the_same_symbols(seed: int, count: int, weight: float) -> None:
    random = np.random.default_rng(seed)
    order = trellis.arranged(random.integers(8, 50, count).astype(np.uint8))
    scales = np.sort(random.integers(8, 50, count).astype(np.uint8))
    residual = random.logistic(size=count) * 2.0 ** ((scales.astype(float) - 20) / 4)
    ours = search_trellis(engine(), residual, scales, order.lanes, TABLES, weight)
    theirs = trellis.search(residual, scales, order.lanes, TABLES, weight)
    assert np.array_equal(ours[0], theirs[0])
    assert np.array_equal(ours[1], theirs[1])
    coder = NativeEncoder(engine())
    coder.encode(ours[0], scales, TABLES, ours[1], order.lanes)
    for decoder in (RangeDecoder(coder.finish()), NativeDecoder(engine(), coder.finish())):
        symbols, quantizers = decoder.decode_lanes(scales, order.lanes, TABLES)
        assert np.array_equal(symbols, ours[0])
        assert np.array_equal(quantizers, ours[1])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), SEEDS)
def test_damaged_streams_decode_alike_or_are_refused_by_both(data: bytes, seed: int) -> None:
    _, scales, quantizers = random_symbols(seed, 300)
    found: list[Any] = []
    for decoder in (RangeDecoder(data), NativeDecoder(engine(), data)):
        try:
            found.append(decoder.decode(scales, TABLES, quantizers).tolist())
        except DamagedError:
            found.append("refused")
    assert found[0] == found[1]


def test_a_symbol_that_no_code_has_is_refused() -> None:
    with pytest.raises(ValueError, match="40 bits"):
        NativeEncoder(engine()).encode(np.array([1 << 45]), np.zeros(1, np.uint8), TABLES)
