"""Frames with scales of their own through a whole file: sizes, stated errors, padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepstd
from deepstd import io
from deepstd.container import parse

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")

PADDING = -32768
SLOPES = ("0.037769796", "3.1202072", "0.087664951", "0.60055343", "0.012080182", "0.27516148")


@pytest.fixture
def pet(make_slice: Callable[..., Any], phantom: Callable[..., np.ndarray], tmp_path: Path) -> Path:
    """Slices of 20 x 24 pixels, each on its own scale, with padding at one side."""
    (tmp_path / "pet").mkdir()
    for k, slope in enumerate(SLOPES):
        plane = 100 * phantom((20, 24), seed=k)
        plane[:, :3] = PADDING
        dataset = make_slice(
            plane.astype(np.int16),
            (0, 0, 3 * k),
            RescaleSlope=slope,
            RescaleIntercept="0",
            Modality="PT",
            PixelPaddingValue=PADDING,
        )
        dataset.save_as(tmp_path / "pet" / str(k), enforce_file_format=True)
    return tmp_path / "pet"


def real(folder: Path) -> np.ndarray:
    """Real-world values (column, row, slice) of a folder as pydicom reads them, padding NaN."""
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    planes = []
    for dataset in sorted(found, key=lambda one: float(one.ImagePositionPatient[2])):
        stored = dataset.pixel_array
        values = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        planes.append(np.where(stored == PADDING, np.nan, values).T)
    return np.stack(planes, -1)


def test_errors_are_real_and_padding_is_exact_in_every_format(
    pet: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    report = deepstd.compress(
        pet, tmp_path / "x.dstd", bpv=4, model=str(tiny_bundle), effort="fast"
    )
    assert report.stored_bytes == 2 * report.voxels
    assert report.ratio == pytest.approx(4, rel=0.01)
    assert deepstd.info(tmp_path / "x.dstd").stored_bytes == report.stored_bytes
    checked = deepstd.verify(tmp_path / "x.dstd", against=pet, model=str(tiny_bundle))
    assert checked.as_stated

    source = real(pet)
    for name in ("restored", "restored.nii", "restored.mha"):
        deepstd.decompress(tmp_path / "x.dstd", tmp_path / name, model=str(tiny_bundle))
        to_dicom = name == "restored"
        restored = real(tmp_path / name) if to_dicom else io.read(tmp_path / name).voxels
        np.testing.assert_array_equal(np.isnan(restored), np.isnan(source))
        errors = np.abs(restored - source)
        assert np.nanmax(errors) == pytest.approx(report.max_error, rel=1e-3)
        assert np.nanmean(errors) == pytest.approx(report.mae, rel=1e-3)
    for number in range(len(SLOPES)):
        restored = pydicom.dcmread(tmp_path / "restored" / f"slice_{number + 1:04d}.dcm")
        assert str(restored.RescaleSlope) == SLOPES[number]
        assert float(restored.LossyImageCompressionRatio) == pytest.approx(report.ratio, rel=1e-3)


def test_a_preview_knows_padding_and_scales(pet: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle), device="cpu")
    data = codec.compress(io.read(pet), bpv=4, effort="fast")
    preview = codec.preview(parse(data, "x"), 1)
    assert preview.source_nbytes is None
    kept = tuple(
        slice(None, None, round(whole / left))
        for whole, left in zip((24, 20, len(SLOPES)), preview.shape, strict=True)
    )
    np.testing.assert_array_equal(np.isnan(preview.voxels), np.isnan(real(pet)[kept]))
    io.write(preview, tmp_path / "small")
    np.testing.assert_allclose(real(tmp_path / "small"), preview.voxels, rtol=1e-6)
