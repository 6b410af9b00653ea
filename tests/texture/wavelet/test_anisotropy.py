"""Sizes to decompose by: the header's, unless the grey values clearly say otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from deepstd.codec.codec import Codec
from deepstd.texture.wavelet.anisotropy import (
    correlation_sizes,
    neighbour_differences,
    relative_sizes,
)
from deepstd.volume import Volume


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


def test_neighbours_differ_most_along_the_roughest_axis() -> None:
    smooth, middle, rough = neighbour_differences(_texture((40, 44, 36), (4.0, 2.0, 1.0)))
    assert smooth < middle / 2 < rough / 4
    assert neighbour_differences(np.full((1, 9), 7, np.int16)) == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (2, 2), (40, 40, 1), (3, 300)])
@pytest.mark.parametrize("flat", [True, False])
def test_small_and_flat_scans_have_sizes_too(shape: tuple[int, ...], flat: bool) -> None:
    values = np.zeros(shape) if flat else np.random.default_rng(0).normal(size=shape)
    sizes = relative_sizes(values, None)
    assert len(sizes) == len(shape)
    assert all(0 <= size <= 15 for size in sizes)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_any_scale_and_a_large_mean_will_do(factor: float, offset: float) -> None:
    values = _texture((64, 64, 24), (4.8, 4.8, 0.8)).astype(np.float64)
    sizes = relative_sizes(values, (1.0, 1.0, 1.0))
    assert sizes[2] >= 4
    assert relative_sizes(factor * (values + offset), (1.0, 1.0, 1.0)) == sizes


def test_frames_go_by_the_first(tiny_bundle: Path) -> None:
    """Or their levels would differ, which no file can say."""
    thick = _texture((40, 40, 16), (4.8, 4.8, 0.8))
    even = _texture((40, 40, 16), (1.5, 1.5, 1.5))
    assert relative_sizes(thick, None) != relative_sizes(even, None)
    codec = Codec.load(str(tiny_bundle), device="cpu")
    for first, second in ((thick, even), (even, thick)):
        scan = Volume(np.stack([first, second], -1))
        assert codec.decompress(codec.compress(scan, bpv=2)).shape == scan.shape


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
