"""The figures of a table against scikit-image, over all voxels and the foreground."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from deepstd import io
from deepstd.evaluate.compare import PICTURES
from deepstd.evaluate.figures import NAMES, Yardstick, foreground_of
from deepstd.evaluate.report import slices_sections
from deepstd.evaluate.rows import OURS, Row
from deepstd.evaluate.view import View, keep_slice
from deepstd.io.dicom.header import Facts, pack
from deepstd.volume import SourceHeader, Volume

skimage_metrics = pytest.importorskip(
    "skimage.metrics", reason="needs scikit-image: pip install 'deepstd[evaluate]'"
)
Phantom = Callable[..., np.ndarray]


def noisy(voxels: np.ndarray, sigma: float = 5.0) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, sigma, voxels.shape)
    return np.rint(voxels + noise).astype(voxels.dtype)


@pytest.mark.parametrize("shape", [(40, 36), (24, 26, 22)])
def test_equal_to_scikit_image(phantom: Phantom, shape: tuple[int, ...]) -> None:
    original = phantom(shape)
    restored = noisy(original)
    yardstick = Yardstick.of(Volume(original))
    found = yardstick.measure(restored)
    peak, mask = float(np.ptp(original)), yardstick.foreground
    error = np.abs(original.astype(float) - restored)
    assert found.mae == pytest.approx(error.mean())
    assert found.mae_fg == pytest.approx(error[mask].mean())
    assert found.rmse**2 == pytest.approx(skimage_metrics.mean_squared_error(original, restored))
    assert found.max_error == error.max()
    assert found.max_error_fg == error[mask].max()
    assert found.psnr == pytest.approx(
        skimage_metrics.peak_signal_noise_ratio(original, restored, data_range=peak)
    )
    assert found.psnr_fg == pytest.approx(10 * math.log10(peak**2 / (error[mask] ** 2).mean()))
    overall, similar = skimage_metrics.structural_similarity(
        original,
        restored,
        data_range=peak,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    assert found.ssim == pytest.approx(overall, abs=1e-4)
    inside = (slice(5, -5),) * len(shape)
    assert found.ssim_fg == pytest.approx(similar[inside][mask[inside]].mean(), abs=1e-4)


def test_slabs_do_not_change_the_foreground_figures(
    phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = phantom((60, 20, 24))
    yardstick = Yardstick.of(Volume(original))
    whole = yardstick.measure(noisy(original))
    monkeypatch.setattr("deepstd.quality._SLAB_VOXELS", 500)
    assert vars(yardstick.measure(noisy(original))) == pytest.approx(vars(whole), rel=1e-6)


def test_frames_are_averaged(phantom: Phantom) -> None:
    original = phantom((14, 16, 12, 3))
    yardstick = Yardstick.of(Volume(original))
    restored = noisy(original)
    alone = [
        Yardstick(
            original[..., t], yardstick.foreground[..., t], yardstick.peak, 1.0, "grey values"
        ).measure(restored[..., t])
        for t in range(3)
    ]
    found = yardstick.measure(restored)
    assert found.ssim_fg == pytest.approx(np.mean([f.ssim_fg for f in alone]))
    assert found.mae == pytest.approx(np.mean([f.mae for f in alone]))


def test_foreground_holds_the_body_and_its_holes() -> None:
    body = np.zeros((40, 40, 3), np.int16) - 1000
    body[5:35, 5:35] = 50
    body[15:22, 15:22] = -900  # lung
    body[:2, :2] = -2000  # padding
    expected = np.zeros(body.shape, bool)
    expected[5:35, 5:35] = True
    np.testing.assert_array_equal(foreground_of(body), expected)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_without_contrast_everything_is_foreground(value: float) -> None:
    assert foreground_of(np.full((6, 5), value)).all()


def test_non_finite_voxels_are_not_foreground(phantom: Phantom) -> None:
    original = phantom((20, 20), "float32")
    original[10, 10] = np.nan
    assert not foreground_of(original)[0, 0]
    assert math.isfinite(Yardstick.of(Volume(original)).measure(original).mae)


def test_an_exact_scan(phantom: Phantom) -> None:
    original = phantom((20, 20, 12))
    found = Yardstick.of(Volume(original)).measure(original)
    assert (found.mae, found.max_error_fg, found.psnr, found.ssim_fg) == (0, 0, math.inf, 1)


def test_ct_is_measured_in_hounsfield_units(tmp_path: Path) -> None:
    stored = np.full((12, 12, 12), 10, np.int16)
    stored[3:9, 3:9, 3:9] = 620
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "ct.nii")
    volume = io.read(tmp_path / "ct.nii")
    yardstick = Yardstick.of(volume)
    assert (yardstick.unit, yardstick.scale) == ("HU", 2.0)
    restored = volume.voxels + np.int16(3)
    found = yardstick.measure(restored)
    assert (found.mae, found.max_error) == (6, 6)
    assert found.psnr == pytest.approx(20 * math.log10(1220 / 6))


def dicom(modality: str, sop_class: str, unit: str | None) -> SourceHeader:
    """A kept header of a series with a slope of −3."""
    facts = Facts(
        *(None, None, None, -3.0, 50.0, "MONOCHROME2", 16, modality, sop_class, "none", None, 0),
        unit=unit,
    )
    return SourceHeader("dicom", pack(facts, []))


def test_dicom_says_its_slope_and_unit(phantom: Phantom) -> None:
    source = dicom("PT", "1.2.840.10008.5.1.4.1.1.128", "Bq/ml")
    original = phantom((20, 20, 12))
    yardstick = Yardstick.of(Volume(original, None, source))
    assert (yardstick.unit, yardstick.scale) == ("Bq/ml", 3.0)
    assert yardstick.measure(original + np.int16(2)).max_error == 6
    assert yardstick.definitions()["max_error"] == "max[Bq/ml]"


def test_dicom_without_a_unit_is_not_taken_for_ct() -> None:
    source = dicom("MR", "1.2.840.10008.5.1.4.1.1.4", None)
    stored = np.linspace(-300, 350, 1000).astype(np.int16).reshape(10, 10, 10)
    assert Yardstick.of(Volume(stored, None, source)).unit == "grey values"
    assert Yardstick.of(Volume(-3 * stored + 50)).unit == "HU"


def test_pages_show_slices_in_real_units(phantom: Phantom, tmp_path: Path) -> None:
    source = dicom("PT", "1.2.840.10008.5.1.4.1.1.128", "Bq/ml")
    volume = Volume(phantom((40, 36, 6)), None, source)
    view = View(2, 0, 4, 6, 16)
    row = Row("scan", OURS, "64×", 100, 99, digest="abc", view=vars(view))
    keep_slice(tmp_path / PICTURES, row, volume, volume.voxels + np.int16(2), view)
    (section,) = slices_sections(tmp_path, [row])
    part = -3.0 * view.of(volume.voxels) + 50
    low, high = np.percentile(part, (0.5, 99.5))
    assert f"Slice 2, {low:.4g} to {high:.4g} Bq/ml from black to white" in section.texts[0]
    assert section.panels[2].caption == "key: error from −6 (blue) to +6 Bq/ml (red)"


def test_every_figure_says_what_it_is(phantom: Phantom) -> None:
    yardstick = Yardstick.of(Volume(phantom((20, 20, 12), "uint8")))
    told = yardstick.definitions()
    assert tuple(sorted(told)) == tuple(sorted(NAMES))
    assert told["mae"] == "mae[grey values]"
    assert told["ssim"].startswith("ssim[3d,g1.5,L=")
    assert ",fg " in told["psnr_fg"]
    assert Yardstick.of(Volume(phantom((20, 20)))).definitions()["ssim"].startswith("ssim[2d")
