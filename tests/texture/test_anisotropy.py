"""Sizes to decompose by: the header's, unless the grey values clearly say otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from deepstd.texture.anisotropy import correlation_sizes, relative_sizes


def _texture(shape: tuple[int, ...], sigmas: tuple[float, ...]) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=shape)
    return gaussian_filter(noise, sigmas).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_are_seen_where_the_header_has_lost_them(axis: int) -> None:
    sigmas = tuple(0.8 if a == axis else 4.8 for a in range(3))
    shape = tuple(24 if a == axis else 64 for a in range(3))
    sizes = relative_sizes(_texture(shape, sigmas), (1.0, 1.0, 1.0))
    others = [s for a, s in enumerate(sizes) if a != axis]
    assert max(others) <= 1
    assert 4 <= sizes[axis] <= 6  # 2 log2(4.8 / 0.8) is 5.2


def test_a_header_that_is_about_right_is_kept() -> None:
    values = _texture((64, 64, 24), (3.0, 3.0, 1.0))
    assert relative_sizes(values, (0.7, 0.7, 2.8)) == (0, 0, 4)
    assert relative_sizes(_texture((40, 50, 30), (1.5, 1.5, 1.5)), (1.0, 1.0, 1.0)) == (0, 0, 0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (2, 2), (40, 40, 1), (3, 300)])
@pytest.mark.parametrize("flat", [True, False])
def test_small_and_flat_scans_have_sizes_too(shape: tuple[int, ...], flat: bool) -> None:
    values = np.zeros(shape) if flat else np.random.default_rng(0).normal(size=shape)
    sizes = relative_sizes(values, None)
    assert len(sizes) == len(shape)
    assert all(0 <= size <= 15 for size in sizes)


@settings(deadline=None, max_examples=25)
@given(
    order=st.permutations([0, 1, 2]),
    factor=st.floats(1e-3, 1e6),
    offset=st.floats(-1e3, 1e3),
)
def test_sizes_go_with_the_axes_and_not_with_the_scale(
    order: list[int], factor: float, offset: float
) -> None:
    values = _texture((32, 40, 20), (3.0, 2.0, 0.7)).astype(np.float64)
    sizes = correlation_sizes(values)
    moved = correlation_sizes((factor * (values + offset)).transpose(order))
    assert moved == tuple(sizes[axis] for axis in order)
