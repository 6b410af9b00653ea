"""Indices select what NumPy's basic indexing selects, and regions are told as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

from deepstd.access.selection import Selection, parse_region
from deepstd.errors import RegionError


@given(st.data())
def test_selects_what_numpy_selects(data: st.DataObject) -> None:
    shape = data.draw(array_shapes(min_dims=2, max_dims=4, max_side=6))
    key = data.draw(basic_indices(shape))
    array = np.arange(np.prod(shape)).reshape(shape)
    chosen = Selection.of(key, shape)
    assert chosen.shape == array[key].shape
    assert chosen.is_empty == (array[key].size == 0)
    if not chosen.is_empty:
        np.testing.assert_array_equal(array[chosen.box][chosen.inner], array[key])


@pytest.mark.parametrize(
    "key",
    [
        5,
        -6,
        (0, 0, 0),
        (..., ...),
        None,
        True,
        [0, 1],
        1.0,
        "0",
        np.array([True] * 5),
        slice(None, None, 0),
        slice(1.5, None),
        slice("a", "b"),
    ],
)
def test_other_indices_are_refused(key: Any) -> None:
    with pytest.raises(RegionError):
        Selection.of(key, (5, 4))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("10:20,:,30", (slice(10, 20), slice(None), 30)),
        (" 3 , ... ", (3, ...)),
        ("-4:,::2,:-1:3", (slice(-4, None), slice(None, None, 2), slice(None, -1, 3))),
    ],
)
def test_text_of_regions(text: str, key: tuple[Any, ...]) -> None:
    assert parse_region(text) == key


@pytest.mark.parametrize("text", ["", "1,,2", "a", "1:2:3:4", "1.5", "...,...", "1;2", "0x3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(RegionError, match="10:20"):
        parse_region(text)
