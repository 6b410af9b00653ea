"""Regions and statistics of the guard are those of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import stdtrit

from deepstd.bundle.familiarity import students_quantile
from deepstd.codec.regions import around_peak
from deepstd.windows import Border, smoothed

SHAPES = st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple)


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_the_region_of_a_peak_is_connected(shape: tuple[int, ...], seed: int) -> None:
    values = np.random.default_rng(seed).random(shape)
    labels = np.asarray(ndimage.label(values >= 0.5 * values.max())[0])  # pyright: ignore
    peak = np.unravel_index(int(values.argmax()), shape)
    np.testing.assert_array_equal(around_peak(values), labels == labels[peak])


@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("constant", "constant")])
@given(shape=SHAPES, sigma=st.floats(0.3, 2.0))
def test_smoothing_is_gaussian(
    border: Border, mode: str, shape: tuple[int, ...], sigma: float
) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    wanted = ndimage.gaussian_filter(values, sigma, mode=mode)
    np.testing.assert_allclose(smoothed(values, sigma, border), wanted, atol=1e-12)


@given(st.floats(0.6, 0.999), st.integers(1, 200))
def test_quantiles_are_those_of_student(share: float, freedom: int) -> None:
    wanted = float(stdtrit(freedom, share))
    assert students_quantile(share, freedom) == pytest.approx(wanted, rel=1e-4)
