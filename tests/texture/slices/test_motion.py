"""Motion between slices: the engine finds what the reference in numpy finds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from deepstd.engine import library
from deepstd.texture.slices import motion
from deepstd.texture.slices.motion import halfway


def references(shape: tuple[int, ...], move: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Two slices of a moving scene with some noise."""
    random = np.random.default_rng(seed)
    batch, height, width = shape
    scene = random.normal(0, 1, (batch, 1, height + 8, width + 8))
    scene = 40_000 * gaussian_filter(scene, (0, 0, 2, 2))
    return [
        np.rint(scene[:, :, 4 + a : 4 + a + height, 4 + b : 4 + b + width])
        + np.rint(random.normal(0, 50, shape))[:, None]
        for a, b in ((0, 0), move)
    ]


def without_engine(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "engine", lambda: None)
        return halfway(before, after)


@pytest.mark.skipif(library.engine() is None, reason="the native engine is not built here")
@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 80), st.integers(1, 80)),
    st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
    st.integers(0, 999),
    st.integers(1, 4),
)
def test_the_engine_finds_the_reference_s_slices(
    shape: tuple[int, ...], move: tuple[int, int], seed: int, threads: int
) -> None:
    pair = references(shape, move, seed)
    wanted = without_engine(*pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "thread_count", lambda: threads)
        found = halfway(*pair)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype == np.float64
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("compute", [halfway, without_engine])
def test_slices_of_a_batch_do_not_depend_on_each_other(
    compute: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> None:
    before, after = references((3, 40, 50), (2, -1), 0)
    together = compute(before, after)
    for n in range(3):
        alone = compute(before[n : n + 1], after[n : n + 1])
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], other[n])
