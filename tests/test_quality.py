"""The figures of a restored scan: by definition, beside scikit-image, and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from deepstd import quality
from deepstd.errors import InputError


def scan(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=shape), 1.5)
    return (1000 * smooth / smooth.std() - 300).astype(np.float32)


@given(st.integers(0, 1000), st.sampled_from([np.int16, np.uint16, np.float32, np.int32, np.uint8]))
def test_errors_follow_their_definitions(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    original = rng.integers(0, 255, (5, 4, 3)).astype(dtype)
    restored = rng.integers(0, 255, (5, 4, 3)).astype(dtype)
    error = original.astype(np.float64) - restored.astype(np.float64)
    assert quality.mae(original, restored) == pytest.approx(np.abs(error).mean())
    assert quality.rmse(original, restored) == pytest.approx(np.sqrt((error**2).mean()))
    assert quality.max_error(original, restored) == np.abs(error).max()
    expected = 10 * np.log10(200.0**2 / (error**2).mean())
    assert quality.psnr(original, restored, peak=200.0) == pytest.approx(expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_slabs_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    original = scan((37, 30, 25)) if order == "C" else scan((25, 30, 37)).T
    restored = original + np.float32(30) * scan((37, 30, 25), seed=1) / 1000
    whole = quality.measure(original, restored)
    monkeypatch.setattr(quality, "_SLAB_VOXELS", 100)
    slabs = quality.measure(original, restored)
    assert slabs.max_error == whole.max_error
    assert (slabs.mae, slabs.psnr) == pytest.approx((whole.mae, whole.psnr), rel=1e-12)
    assert slabs.ssim == pytest.approx(whole.ssim, abs=1e-6)


@pytest.mark.parametrize("shape", [(64, 48), (24, 20, 16), (11, 40), (11, 12, 13)])
@pytest.mark.parametrize("noise", [5.0, 100.0, 2000.0])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, ...], noise: float) -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    original = scan(shape)
    rng = np.random.default_rng(2)
    restored = (original + rng.normal(scale=noise, size=shape)).astype(np.float32)
    data_range = float(original.max() - original.min())
    expected = metrics.structural_similarity(
        original.astype(np.float64),
        restored.astype(np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert quality.ssim(original, restored, data_range=data_range) == pytest.approx(
        expected, abs=1e-4
    )


def test_ssim_keeps_its_digits_beside_a_large_offset() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    original = scan((40, 40)).astype(np.float64) + 3e7
    restored = original + np.random.default_rng(3).normal(scale=200, size=original.shape)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = metrics.structural_similarity(original, restored, data_range=6000.0, **options)
    assert quality.ssim(original, restored, data_range=6000.0) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (3, 2, 1), (40, 40, 1), (5, 40, 7)])
def test_short_axes_have_a_similarity(shape: tuple[int, ...]) -> None:
    original = np.random.default_rng(4).normal(size=shape) * 100
    assert quality.ssim(original, original, data_range=100.0) == pytest.approx(1.0, abs=1e-6)
    assert -1 <= quality.ssim(original, original + 30, data_range=100.0) < 1


def test_one_slice_is_measured_like_the_image_it_is() -> None:
    original, restored = scan((40, 30)), scan((40, 30), seed=1)
    flat = quality.ssim(original, restored, data_range=5000.0)
    assert quality.ssim(
        original[..., None], restored[..., None], data_range=5000.0
    ) == pytest.approx(flat, abs=1e-6)


def test_frames_are_averaged() -> None:
    original, restored = scan((16, 16, 12, 3)), scan((16, 16, 12, 3), seed=1)
    frames = [quality.ssim(original[..., t], restored[..., t], data_range=5e3) for t in range(3)]
    assert quality.ssim(original, restored, data_range=5e3) == pytest.approx(np.mean(frames))


def test_exact_scan() -> None:
    original = scan((12, 12, 12))
    assert quality.measure(original, original) == quality.Quality(0.0, 0.0, math.inf, 1.0)


def test_constant_scan() -> None:
    constant = np.full((12, 12), 7, np.int16)
    assert quality.measure(constant, constant) == quality.Quality(0.0, 0.0, math.inf, 1.0)
    off = quality.measure(constant, constant + np.int16(2))
    assert (off.mae, off.max_error) == (2.0, 2.0)
    assert math.isnan(off.psnr)
    assert math.isnan(off.ssim)


def test_non_finite_originals_do_not_count() -> None:
    original = scan((20, 20, 20))
    restored = original + np.float32(10)
    holes = original.copy()
    holes[3:6, 3:6, 3:6] = np.nan
    holes[10, 10, 10] = np.inf
    found = quality.measure(holes, np.where(np.isfinite(holes), restored, holes))
    assert found.mae == pytest.approx(10, rel=1e-4)
    assert found.max_error == pytest.approx(10, rel=1e-3)
    assert 0.9 < found.ssim < 1
    assert math.isfinite(found.psnr)


def test_a_voxel_lost_to_nan_is_not_forgiven() -> None:
    original = scan((20, 20))
    restored = original.copy()
    restored[4, 4] = np.nan
    found = quality.measure(original, restored)
    assert found.max_error == math.inf
    assert found.psnr == -math.inf
    assert math.isnan(found.ssim)


def test_nothing_finite() -> None:
    nothing = np.full((4, 4), np.nan)
    found = quality.measure(nothing, nothing)
    assert all(math.isnan(v) for v in (found.mae, found.max_error, found.psnr, found.ssim))


def test_differences_of_unsigned_integers_do_not_wrap() -> None:
    low, high = np.zeros((3, 3), np.uint16), np.full((3, 3), 65535, np.uint16)
    assert quality.max_error(low, high) == quality.mae(high, low) == 65535


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"\(2, 3\).*\(3, 2\)"):
        quality.mae(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(InputError, match="expected equal"):
        quality.ssim(np.zeros((2, 3)), np.zeros((3, 2)), data_range=1.0)


@pytest.mark.parametrize("scale", [1e-300, 1e100, 1e160, 1e300])
def test_figures_know_no_scale(scale: float) -> None:
    original = scan((14, 12, 10)).astype(np.float64)
    restored = original + scan((14, 12, 10), seed=1) / 50
    one = quality.measure(original, restored)
    other = quality.measure(original * scale, restored * scale)
    assert other.mae == pytest.approx(one.mae * scale, rel=1e-9)
    assert other.max_error == pytest.approx(one.max_error * scale, rel=1e-9)
    assert other.psnr == pytest.approx(one.psnr, rel=1e-9)
    assert other.ssim == pytest.approx(one.ssim, rel=1e-4)
    root = quality.rmse(original, restored)
    assert quality.rmse(original * scale, restored * scale) == pytest.approx(root * scale)


def test_scaled_errors() -> None:
    figures = quality.Quality(1.5, 4.0, 40.0, 0.9)
    assert figures.scaled(0.5) == quality.Quality(0.75, 2.0, 40.0, 0.9)
