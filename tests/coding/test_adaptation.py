"""Offsets to scale indices: right where the model is wrong, none where it is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.coding.adaptation import FEWEST_SYMBOLS, LARGEST_OFFSET, best_offsets, shifted
from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.coding.tables import SCALE_COUNT, parametric_tables, scale_of_index

TABLES = parametric_tables()


def _coded(symbols: np.ndarray, scale_index: np.ndarray) -> int:
    coder = RangeEncoder()
    coder.encode(symbols, scale_index, TABLES)
    return len(coder.finish())


def _drawn(index: int, count: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).logistic(scale=scale_of_index(index), size=count)
    return np.rint(drawn).astype(np.int64)


@pytest.mark.parametrize("wrong", [-3, -1, 0, 2, 4])
@pytest.mark.parametrize("index", [16, 24, 40])
def test_the_offset_undoes_what_the_model_gets_wrong(index: int, wrong: int) -> None:
    symbols = _drawn(index, 4000)
    expected = np.full(symbols.size, index - wrong, dtype=np.uint8)
    assert best_offsets(symbols, expected, np.array([4000]), TABLES).tolist() == [wrong]


def test_every_band_has_its_own_and_small_ones_none() -> None:
    sizes = [1000, FEWEST_SYMBOLS - 1, 0, 1000]
    symbols = np.concatenate([_drawn(26, sizes[0]), _drawn(26, sizes[1]), _drawn(18, sizes[3])])
    expected = np.full(symbols.size, 22, dtype=np.uint8)
    assert best_offsets(symbols, expected, np.array(sizes), TABLES).tolist() == [4, 0, 0, -4]


@settings(deadline=None, max_examples=40)
@given(
    scale=st.floats(0.01, 3000.0),
    spread=st.integers(0, 20),
    centre=st.integers(0, SCALE_COUNT - 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_other_offset_is_clearly_better(
    scale: float, spread: int, centre: int, seed: int
) -> None:
    """By the bytes of the real coder, whatever symbols and scales are."""
    random = np.random.default_rng(seed)
    symbols = np.rint(random.laplace(scale=scale, size=600)).astype(np.int64)
    expected = shifted(np.full(600, centre), random.integers(-spread, spread + 1, 600))
    chosen = int(best_offsets(symbols, expected, np.array([600]), TABLES)[0])
    of_chosen = _coded(symbols, shifted(expected, chosen))
    for offset in range(-LARGEST_OFFSET, LARGEST_OFFSET + 1):
        assert of_chosen <= 1.03 * _coded(symbols, shifted(expected, offset)) + 8


@given(st.lists(st.integers(-LARGEST_OFFSET, LARGEST_OFFSET), max_size=40))
def test_offsets_come_back(offsets: list[int]) -> None:
    coder = RangeEncoder()
    for offset in offsets:
        coder.encode_offset(offset)
    decoder = RangeDecoder(coder.finish())
    assert [decoder.decode_offset() for _ in offsets] == offsets


def test_no_offset_costs_a_small_fraction_of_a_bit() -> None:
    coder = RangeEncoder()
    for _ in range(100):
        coder.encode_offset(0)
    assert len(coder.finish()) <= 1
