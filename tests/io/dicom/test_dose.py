"""Radiotherapy doses are scans in Gy, and come back as doses on their own scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

import deepstd
from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import Metadata

Make = Callable[..., Any]
SCALING = "2.5e-4"
OFFSETS = [0.0, 2.5, 5.0, 7.5, 10.0, 12.5]


@pytest.fixture
def frames() -> np.ndarray:
    """A smooth dose of two beams, (6, 20, 24) stored values."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (6, 20, 24)], indexing="ij")
    dose = np.exp(-6 * (x * x + z * z)) + 0.7 * np.exp(-9 * (y * y + z * z))
    return (100_000 * dose).astype(np.uint32)


@pytest.fixture
def save(make_slice: Make, tmp_path: Path) -> Callable[..., Path]:
    """save(frames, **attributes): a dose as a file."""

    def make(frames: np.ndarray, name: str = "dose.dcm", **attributes: Any) -> Path:
        told = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2",
            "Modality": "RTDOSE",
            "NumberOfFrames": len(frames),
            "FrameIncrementPointer": 0x3004000C,
            "GridFrameOffsetVector": OFFSETS[: len(frames)],
            "DoseGridScaling": SCALING,
            "DoseUnits": "GY",
            "DoseType": "PHYSICAL",
            "DoseSummationType": "PLAN",
            "PixelData": frames.tobytes(),
            "RescaleSlope": None,
            "RescaleIntercept": None,
            **attributes,
        }
        make_slice(frames[0], (10, 20, -30), **told).save_as(
            tmp_path / name, enforce_file_format=True
        )
        return tmp_path / name

    return make


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_the_same_bits_come_back_as_a_dose(
    save: Callable[..., Path], frames: np.ndarray, tmp_path: Path, dtype: type
) -> None:
    path = save((frames // (4 if dtype is np.uint16 else 1)).astype(dtype))
    before = pydicom.dcmread(path)
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, before.pixel_array.transpose(2, 1, 0))
    deepstd.compress(path, tmp_path / "dose.dstd", lossless=True)
    deepstd.decompress(tmp_path / "dose.dstd", tmp_path / "back.dcm")
    after = pydicom.dcmread(tmp_path / "back.dcm")
    assert after.PixelData == before.PixelData
    for keyword in (
        *("SOPClassUID", "Modality", "NumberOfFrames", "FrameIncrementPointer", "DoseUnits"),
        *("GridFrameOffsetVector", "DoseGridScaling", "DoseType", "DoseSummationType"),
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "BitsStored"),
    ):
        assert after[keyword].value == before[keyword].value
    assert "RescaleSlope" not in after
    assert "LossyImageCompression" not in after


def test_errors_are_told_in_gray(
    save: Callable[..., Path], frames: np.ndarray, tmp_path: Path
) -> None:
    path = save(frames)
    assert io.error_scale_of(io.read(path).source).unit == "Gy"
    report = deepstd.compress(path, tmp_path / "dose.dstd", ratio=8, model="generic")
    assert report.file_bytes <= frames.nbytes / 8
    deepstd.decompress(tmp_path / "dose.dstd", tmp_path / "back.dcm")
    after = pydicom.dcmread(tmp_path / "back.dcm")
    errors = np.abs(after.pixel_array.astype(float) - frames) * float(SCALING)
    assert 0 < errors.max() == pytest.approx(report.max_error)
    assert after.DoseGridScaling == float(SCALING)
    assert after.LossyImageCompression == "01"
    assert deepstd.verify(tmp_path / "dose.dstd", against=path).as_stated
    deepstd.decompress(tmp_path / "dose.dstd", tmp_path / "back.nii.gz")
    image: Any = nibabel.load(tmp_path / "back.nii.gz")
    gray = after.pixel_array.transpose(2, 1, 0) * float(SCALING)
    np.testing.assert_allclose(image.get_fdata(), gray, atol=1e-6)


def test_relative_doses_have_no_unit(save: Callable[..., Path], frames: np.ndarray) -> None:
    path = save(frames, DoseUnits="RELATIVE")
    assert io.error_scale_of(io.read(path).source).unit is None


@pytest.mark.parametrize(
    ("offsets", "z", "is_mirrored"),
    [
        (OFFSETS, -30.0, False),
        ([-x for x in OFFSETS], -42.5, True),
        ([x - 30.0 for x in OFFSETS], -30.0, False),
    ],
)
def test_offsets_give_the_planes(
    save: Callable[..., Path],
    frames: np.ndarray,
    offsets: list[float],
    z: float,
    is_mirrored: bool,
) -> None:
    volume = io.read(save(frames, GridFrameOffsetVector=offsets))
    assert volume.affine is not None
    np.testing.assert_allclose(
        volume.affine, [[-0.25, 0, 0, -10], [0, -0.5, 0, -20], [0, 0, 2.5, z], [0, 0, 0, 1]]
    )
    stored = frames[::-1] if is_mirrored else frames
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0))


def test_offsets_that_are_absent_leave_a_stack(
    save: Callable[..., Path], frames: np.ndarray, tmp_path: Path
) -> None:
    volume = io.read(save(frames, GridFrameOffsetVector=None))
    assert volume.affine is None
    np.testing.assert_array_equal(volume.voxels, np.moveaxis(frames, 0, -1))
    io.write(volume, tmp_path / "back.dcm")
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "back.dcm").pixel_array, frames)


@pytest.mark.parametrize(
    "attributes",
    [
        {"DoseGridScaling": None},
        {"DoseGridScaling": "0"},
        {"GridFrameOffsetVector": [0.0, 1.0]},
        {"GridFrameOffsetVector": [7.0 + x for x in OFFSETS]},
    ],
)
def test_damaged_doses_are_refused(
    save: Callable[..., Path], frames: np.ndarray, attributes: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"Dose|GridFrameOffsetVector"):
        io.read(save(frames, **attributes))


def test_planes_in_files_of_their_own_keep_their_scales(
    make_slice: Make, frames: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for k, frame in enumerate(frames):
        told = {
            "DoseGridScaling": f"{1e-4 * (1 + k):.4g}",
            "DoseUnits": "GY",
            "InstanceNumber": k + 1,
        }
        dataset = make_slice(
            frame, (0, 0, 2.5 * k), SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", Modality="RTDOSE",
            RescaleSlope=None, RescaleIntercept=None, **told,
        )  # fmt: skip
        dataset.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    io.write(io.read(folder), tmp_path / "back")
    for k, path in enumerate(sorted((tmp_path / "back").iterdir())):
        after = pydicom.dcmread(path)
        np.testing.assert_array_equal(after.pixel_array, frames[k])
        assert after.DoseGridScaling == pytest.approx(1e-4 * (1 + k), rel=1e-12)
        assert "RescaleSlope" not in after


@pytest.mark.parametrize("count", [1, 6])
def test_without_its_data_set_no_dose_is_written(
    save: Callable[..., Path], frames: np.ndarray, tmp_path: Path, count: int
) -> None:
    volume = io.read(save(frames[:count]), metadata=Metadata.NONE)
    assert any("--drop-metadata" in note for note in volume.notes)
    with pytest.raises(UnsupportedFormatError, match="not kept"):
        io.write(volume, tmp_path / "back.dcm")


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"])
def test_real_doses(data_dir: Path, tmp_path: Path, name: str) -> None:
    source = data_dir / "dicom" / "single" / name
    assert io.read(source).spacing == (10.0, 10.0, 5.0)
    deepstd.compress(source, tmp_path / "dose.dstd", lossless=True)
    deepstd.decompress(tmp_path / "dose.dstd", tmp_path / "back.dcm")
    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "back.dcm")
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    assert after.DoseGridScaling == before.DoseGridScaling
    assert after.GridFrameOffsetVector == before.GridFrameOffsetVector
