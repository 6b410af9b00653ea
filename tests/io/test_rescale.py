"""Slope and intercept: whole numbers stay whole where they fit, and nothing wraps around."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from deepstd.errors import InputError
from deepstd.io.rescale import largest_step, real_world, requantised, rescaled
from deepstd.volume import SourceHeader, Volume

INTEGERS = ["i1", "u1", "i2", ">i2", "u2", "i4", "u4", "i8", "u8"]


@given(
    st.sampled_from(INTEGERS).flatmap(lambda dtype: npst.arrays(dtype, (2, 3))),
    st.integers(-(2**33), 2**33),
)
def test_whole_intercepts(voxels: np.ndarray, intercept: int) -> None:
    found = rescaled(voxels, 1.0, float(intercept))
    exact = voxels.astype(object) + intercept
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= exact.min() and exact.max() <= limits.max:
            assert found.dtype == dtype
            assert (found.astype(object) == exact).all()
            return
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact.astype(np.float64), rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "result"), [("i2", "f4"), ("f4", "f4"), (">f4", "f4"), ("f8", "f8"), ("f2", "f4")]
)
def test_other_slopes(dtype: str, result: str) -> None:
    voxels = np.arange(6, dtype=dtype).reshape(2, 3)
    found = rescaled(voxels, 0.5, -3.25)
    assert found.dtype == result
    np.testing.assert_array_equal(found, voxels.astype("f8") * 0.5 - 3.25)


def test_formats_without_a_slope_are_left_alone() -> None:
    volume = Volume(np.ones((2, 3), np.int16))
    assert real_world(volume) is volume


def test_a_damaged_header() -> None:
    volume = Volume(np.ones((2, 3), np.int16), None, SourceHeader("nifti1", b"x"))
    with pytest.raises(InputError, match="header"):
        real_world(volume)


@pytest.mark.parametrize(("dtype", "step"), [("i2", 1.0), ("u1", 1.0), ("f4", 0.0), ("f8", 0.0)])
def test_the_distance_of_neighbouring_values_is_that_of_the_type(dtype: str, step: float) -> None:
    volume = Volume(np.ones((2, 3), dtype))
    assert largest_step(volume) == step
    assert requantised(volume) is volume
