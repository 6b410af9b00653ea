"""Reconstructed slices of nuclear medicine lie where SimpleITK finds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from deepstd import io
from deepstd.errors import InputError

Save = Callable[..., Path]
OBLIQUE = [0.8, 0.6, 0.0, 0.0, 0.0, -1.0]


@pytest.fixture
def planes() -> np.ndarray:
    return np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)


@pytest.fixture
def save(make_slice: Callable[..., Any], tmp_path: Path, planes: np.ndarray) -> Save:
    """save(spacing, **attributes): a reconstructed SPECT object of six frames."""

    def put(spacing: float | None, **attributes: Any) -> Path:
        told: dict[str, Any] = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.20",
            "Modality": "NM",
            "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
            "NumberOfFrames": len(planes),
            "PixelData": planes.tobytes(),
            "FrameIncrementPointer": 0x00540080,
            "SliceVector": list(range(1, 7)),
            "NumberOfSlices": 6,
            "PixelSpacing": [4, 3],
            "SliceThickness": 5,
            **attributes,
        }
        if spacing is not None:
            told["SpacingBetweenSlices"] = spacing
        detector = pydicom.Dataset()
        detector.ImagePositionPatient = [-70, -80, 120]
        detector.ImageOrientationPatient = OBLIQUE
        told["DetectorInformationSequence"] = [detector]
        make_slice(planes[0], None, **told).save_as(tmp_path / "nm.dcm", enforce_file_format=True)
        return tmp_path / "nm.dcm"

    return put


@pytest.mark.parametrize("spacing", [4.4, -4.4])
def test_either_sign_of_their_distance(save: Save, planes: np.ndarray, spacing: float) -> None:
    sitk: Any = pytest.importorskip("SimpleITK", reason="needs SimpleITK: deepstd[itk]")
    path = save(spacing)
    volume, image = io.read(path), sitk.ReadImage(str(path))
    assert volume.affine is not None
    np.testing.assert_array_equal(volume.voxels, sitk.GetArrayFromImage(image).T)
    for index in [(0, 0, 0), (4, 0, 0), (0, 3, 0), (0, 0, 5)]:
        ours = volume.affine @ [*index, 1]
        theirs = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(ours[:3], np.multiply(theirs, [-1, -1, 1]), atol=1e-9)


def test_restored_to_dicom_they_lie_there_too(
    save: Save, planes: np.ndarray, tmp_path: Path
) -> None:
    volume = io.read(save(-4.4))
    io.write(volume, tmp_path / "back.dcm")
    back = io.read(tmp_path / "back.dcm")
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "back.dcm").pixel_array, planes)
    np.testing.assert_array_equal(back.voxels, volume.voxels)
    assert back.affine is not None
    assert volume.affine is not None
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-9)


def test_gates_become_a_fourth_axis(save: Save, planes: np.ndarray) -> None:
    path = save(
        4.4,
        ImageType=["ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION"],
        FrameIncrementPointer=[0x00540070, 0x00540080],
        TimeSlotVector=[2, 2, 2, 1, 1, 1],
        SliceVector=[1, 2, 3, 1, 2, 3],
        NumberOfSlices=3,
    )
    expected = planes.reshape(2, 3, 4, 5)[::-1].transpose(3, 2, 1, 0)
    np.testing.assert_array_equal(io.read(path).voxels, expected)


def test_slice_thickness_stands_in_for_a_distance_that_is_not_told(save: Save) -> None:
    assert io.read(save(None)).spacing == (3, 4, 5)


def test_projections_of_nuclear_medicine_have_no_place(save: Save, planes: np.ndarray) -> None:
    path = save(
        None,
        ImageType=["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"],
        FrameIncrementPointer=0x00540090,
        SliceVector=None,
        AngularViewVector=list(range(1, 7)),
    )
    volume = io.read(path)
    assert volume.affine is None
    np.testing.assert_array_equal(volume.voxels, planes.transpose(1, 2, 0))


def test_a_vector_that_does_not_count_from_one_is_damage(save: Save) -> None:
    with pytest.raises(InputError, match="SliceVector is not counted from 1"):
        io.read(save(4.4, SliceVector=[0, 1, 2, 3, 4, 5]))
