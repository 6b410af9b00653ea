"""Peers: what comes back, what counts as bytes, and the search for equal bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepstd import io, quality
from deepstd.baselines import Baseline, Encoded, Jpeg, Jpeg2000, Sperr, fit_to_bytes
from deepstd.errors import MissingExtraError, RateError, UnsupportedFormatError

CODECS = [Jpeg(), Jpeg2000(), Sperr()]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


@pytest.fixture(scope="module", autouse=True)
def _codecs() -> None:
    pytest.importorskip("imagecodecs", reason="needs imagecodecs: pip install 'deepstd[baselines]'")


def scan(shape: tuple[int, ...], dtype: type, offset: float = 0.0) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=shape), 2.0)
    return (smooth / smooth.std() * 300 + offset).astype(dtype)


@each_codec
@pytest.mark.parametrize(
    ("dtype", "offset"),
    [(np.int16, -1000.0), (np.uint16, 2000.0), (np.float32, 0.0), (np.float64, 1e4), (">i2", 0.0)],
)
def test_scan_comes_back(codec: Baseline, dtype: type, offset: float) -> None:
    original = scan((40, 50, 12), dtype, offset)
    result = fit_to_bytes(codec, original, original.size)
    assert result.restored.dtype == original.dtype
    assert result.restored.shape == original.shape
    assert quality.measure(original, result.restored).psnr > 40
    assert result.nbytes <= original.size


@each_codec
def test_eight_bit_image_comes_back(codec: Baseline) -> None:
    original = np.clip(scan((96, 80), np.float64, 128) // 4 + 96, 0, 255).astype(np.uint8)
    result = fit_to_bytes(codec, original, original.size // 4)
    assert result.restored.dtype == np.uint8
    assert quality.measure(original, result.restored).psnr > 35


@each_codec
def test_label_map_comes_back(codec: Baseline) -> None:
    original = (scan((48, 40, 6), np.float32) > 0).astype(np.int32)
    result = fit_to_bytes(codec, original, original.size)
    assert (original != result.restored).mean() < 0.01


@pytest.mark.parametrize("codec", [Jpeg2000(), Sperr()], ids=lambda codec: codec.name)
@pytest.mark.parametrize("bits_per_voxel", [0.5, 1.0, 2.0])
def test_bytes_allowed_are_used(codec: Baseline, bits_per_voxel: float) -> None:
    original = scan((64, 64, 16), np.int16)
    allowed = int(original.size * bits_per_voxel / 8)
    result = fit_to_bytes(codec, original, allowed)
    assert 0.97 * allowed <= result.nbytes <= allowed
    assert result.nbytes == codec.encode(original, result.knob).nbytes


def test_integral_knob_is_the_largest_that_fits() -> None:
    original = scan((64, 64), np.int16)
    result = fit_to_bytes(Jpeg(), original, 1200)
    assert result.knob == int(result.knob)
    assert Jpeg().encode(original, result.knob).nbytes <= 1200
    assert Jpeg().encode(original, result.knob + 1).nbytes > 1200


@each_codec
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (3, 2, 1), (1, 9), (2, 16, 16), (1, 16, 16)])
def test_tiny_scans_come_back(codec: Baseline, shape: tuple[int, ...]) -> None:
    original = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    result = fit_to_bytes(codec, original, 3000)
    assert result.restored.shape == shape
    assert quality.max_error(original, result.restored) <= 16


@each_codec
def test_constant_scan_comes_back(codec: Baseline) -> None:
    for original in (np.full((20, 20), -1000, np.int16), np.full((20, 20), 0.5, np.float32)):
        result = fit_to_bytes(codec, original, 3000)
        assert quality.max_error(original, result.restored) == 0


@each_codec
def test_non_finite_voxels_do_not_spread(codec: Baseline) -> None:
    original = scan((32, 32), np.float32)
    original[5, 5], original[6, 6] = np.nan, np.inf
    result = fit_to_bytes(codec, original, 2000)
    assert quality.measure(original, result.restored).psnr > 30


@each_codec
def test_too_few_bytes_are_refused_with_the_least(codec: Baseline) -> None:
    with pytest.raises(RateError, match=r"smallest it can do is \d+"):
        fit_to_bytes(codec, scan((64, 64, 8), np.int16), 10)


@each_codec
def test_frames_are_refused(codec: Baseline) -> None:
    with pytest.raises(UnsupportedFormatError, match="one frame"):
        codec.encode(np.zeros((4, 4, 4, 2), np.int16), 50.0)


def test_jpeg_2000_counts_one_header_without_comment() -> None:
    header, *tiles = Jpeg2000().encode(scan((64, 64, 5), np.int16), 40.0).streams
    assert header.startswith(b"\xff\x4f\xff\x51")
    assert b"OpenJPEG" not in header
    assert len(tiles) == 5
    assert all(tile.startswith(b"\xff\x90") and tile.endswith(b"\xff\xd9") for tile in tiles)


def test_bytes_are_those_of_all_streams() -> None:
    assert Encoded((b"abc", b"de")).nbytes == 5


def test_missing_package_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingExtraError, match=r'pip install "deepstd\[baselines\]"'):
        Sperr().encode(np.zeros((8, 8)), 1.0)


def test_peers_on_a_real_scan(data_dir: Path) -> None:
    """The order that the literature leads to expect, on a real brain."""
    original = io.read(data_dir / "brain-ms" / "patient04_study1_T1W.nii.gz").voxels[..., 20:28]
    allowed = original.size // 16
    psnr = {
        codec.name: quality.measure(original, fit_to_bytes(codec, original, allowed).restored).psnr
        for codec in CODECS
    }
    assert psnr["JPEG"] < psnr["JPEG 2000"]
    assert psnr["JPEG"] < psnr["SPERR"]
