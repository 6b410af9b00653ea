"""Correlation is that of statistics, within the mask."""

from __future__ import annotations

import numpy as np
import torch

from deepstd.shape.networks.similarity import correlation


def test_correlation_is_pearsons_within_the_mask() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 200))
    b += a
    mask = rng.random((3, 200)) < 0.6
    found = correlation(torch.tensor(a), torch.tensor(b), torch.tensor(mask).double())
    expected = [np.corrcoef(x[m], y[m])[0, 1] for x, y, m in zip(a, b, mask, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_a_constant_image_or_an_empty_mask_is_like_nothing() -> None:
    flat, any_image = torch.full((1, 50), 3.0), torch.rand(1, 50)
    assert correlation(flat, any_image, torch.ones(1, 50)).abs() < 1e-3
    assert correlation(any_image, any_image, torch.zeros(1, 50)).isfinite().all()
