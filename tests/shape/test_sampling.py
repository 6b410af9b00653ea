"""Interpolation in numpy is that of torch, at any point of images of any shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.resampling import resample
from deepstd.shape.sampling import sampled

SHAPES = st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple)


@given(SHAPES, st.booleans(), st.integers(0, 2**32 - 1))
def test_values_are_those_of_torch(shape: tuple[int, ...], edge: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(2, *shape)).astype(np.float32)
    size = np.reshape(shape, (-1, 1))
    points = (rng.uniform(-0.3, 1.3, (len(shape), 50)) * size).astype(np.float32)
    found = sampled(images, points, edge=edge)
    expected = resample(
        torch.from_numpy(images)[None],
        torch.from_numpy(points.T.copy())[None],
        "border" if edge else "zeros",
    )[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("count", [0, 1, 40_000])
def test_any_number_of_points_is_sampled(count: int) -> None:
    image = np.arange(40_000, dtype=np.float32)[None, :, None] + np.zeros((1, 1, 2), np.float32)
    at = np.stack([np.arange(count), np.full(count, 0.5)]).astype(np.float32)
    np.testing.assert_array_equal(sampled(image, at, edge=True)[0], np.arange(count))
