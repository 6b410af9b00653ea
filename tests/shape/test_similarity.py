"""Correlation is that of statistics, within the mask, and of torch."""

from __future__ import annotations

import numpy as np
import torch

from deepstd.shape.networks import similarity as networks
from deepstd.shape.similarity import correlation, correlation_and_slope


def test_correlation_is_pearsons_within_the_mask() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 200))
    b += a
    mask = rng.random((3, 200)) < 0.6
    found = correlation(a, b, mask.astype(np.float64))
    expected = [np.corrcoef(x[m], y[m])[0, 1] for x, y, m in zip(a, b, mask, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_constant_image_or_an_empty_mask_is_like_nothing() -> None:
    flat, any_image = np.full((1, 50), 3.0), np.random.default_rng(0).random((1, 50))
    assert np.abs(correlation(flat, any_image, np.ones((1, 50)))) < 1e-3
    for array in correlation_and_slope(any_image, any_image, np.zeros((1, 50))):
        assert not array.any()


def test_the_slope_is_that_of_torch() -> None:
    rng = np.random.default_rng(1)
    a, b, weight = rng.random((3, 2, 40))
    found, slope = correlation_and_slope(a, b, weight)
    tensor = torch.from_numpy(a).requires_grad_()
    expected = networks.correlation(tensor, torch.from_numpy(b), torch.from_numpy(weight))
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-12)
    (expected_slope,) = torch.autograd.grad(expected.sum(), tensor)
    np.testing.assert_allclose(slope, expected_slope.numpy(), atol=1e-12)
