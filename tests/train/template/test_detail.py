"""Template detail: kept where scans share it, smoothed away where it is noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from deepstd.train.template.detail import smoothed


def _images(shape: tuple[int, ...], sigma: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    blurred = ndimage.gaussian_filter(noise, sigma)
    return (blurred / blurred.std()).astype(np.float32)


def _scan(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones_like(values)])


@pytest.mark.parametrize("shape", [(96, 80), (40, 36, 28)])
def test_noise_of_a_template_is_smoothed_away(shape: tuple[int, ...]) -> None:
    anatomy = 5 * _images(shape, 4.0, 0)
    scans = [_scan(anatomy + _images(shape, 0.5, seed)) for seed in range(1, 5)]
    noisy = anatomy + 0.5 * _images(shape, 0.0, 9)
    result = smoothed(noisy, scans)
    assert np.std(result - anatomy) < 0.5 * np.std(noisy - anatomy)


@pytest.mark.parametrize("shape", [(96, 80), (40, 36, 28)])
def test_detail_that_scans_share_is_kept(shape: tuple[int, ...]) -> None:
    anatomy = _images(shape, 0.7, 0)
    scans = [_scan(100 + 20 * (anatomy + 0.3 * _images(shape, 0.7, seed))) for seed in range(1, 5)]
    np.testing.assert_array_equal(smoothed(anatomy, scans), anatomy)


def test_what_lies_outside_of_the_scans_says_nothing() -> None:
    anatomy = _images((64, 64), 0.7, 0)
    scan = _scan(anatomy.copy())
    scan[:, :20] = 0
    nowhere = np.zeros_like(scan)
    np.testing.assert_array_equal(smoothed(anatomy, [scan, nowhere]), anatomy)


def test_a_flat_template_stays() -> None:
    flat = np.full((32, 32), 3.0, np.float32)
    np.testing.assert_allclose(smoothed(flat, [_scan(_images((32, 32), 1.0, 0))]), flat)
