"""Means of windows are those of SciPy, with every set of instructions."""

from __future__ import annotations

import numpy as np
import pytest
from instructions import limited
from scipy import ndimage

from deepstd import quality, windows
from deepstd.engine.library import LIMITS, engine
from deepstd.engine.window import window_means

HALF = np.array([0.4, 0.2, 0.07, 0.03])

pytestmark = pytest.mark.skipif(engine() is None, reason="no native engine")


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("shape", [(300,), (5, 600), (1, 40, 7), (9, 2, 270), (2, 1, 3)])
def test_means_are_those_of_scipy(shape: tuple[int, ...], limit: str) -> None:
    values = np.random.default_rng(0).normal(3, 100, shape).astype(np.float32)
    wanted = values
    for axis, length in enumerate(shape):
        if length > 1:
            window = np.concatenate([HALF[:0:-1], HALF])
            wanted = ndimage.correlate1d(wanted, window, axis, mode="reflect")
    with limited(limit):
        found = window_means(engine(), values, HALF)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-5)


def test_views_and_other_types_are_taken() -> None:
    values = np.arange(60.0).reshape(5, 12)
    wanted = window_means(engine(), np.ascontiguousarray(values.T), HALF)
    np.testing.assert_array_equal(window_means(engine(), values.T, HALF), wanted)


def test_similarity_is_that_without_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    scan = rng.normal(40, 9, (30, 21, 16)).astype(np.float32)
    noisy = scan + rng.normal(0, 3, scan.shape).astype(np.float32)
    with_engine = quality.ssim(scan, noisy, data_range=60.0)
    monkeypatch.setattr(windows, "engine", lambda: None)
    assert with_engine == pytest.approx(quality.ssim(scan, noisy, data_range=60.0), abs=1e-7)
