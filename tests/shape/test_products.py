"""Products in parts are products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.shape import products

SIZES = st.integers(1, 9)
OUTER = st.sampled_from([((), ()), ((2,), (2,)), ((2, 1), (1, 3)), ((3, 2, 1), (2, 4))])


@given(SIZES, SIZES, SIZES, OUTER, st.booleans())
def test_any_matrices_are_multiplied(
    rows: int,
    inner: int,
    columns: int,
    outer: tuple[tuple[int, ...], tuple[int, ...]],
    transposed: bool,
) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-9, 9, (*outer[0], rows, inner)).astype(np.float64)
    b = rng.integers(-9, 9, (*outer[1], inner, columns)).astype(np.float64)
    if transposed:
        a, b = b.swapaxes(-1, -2), a.swapaxes(-1, -2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_LARGEST", 100)
        np.testing.assert_array_equal(products.product(a, b), a @ b)
