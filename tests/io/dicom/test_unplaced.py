"""Slices without Image Position: their order, what is said of it, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from deepstd import io
from deepstd.errors import InputError
from deepstd.io import Metadata

Save = Callable[..., Path]


@pytest.fixture
def save(make_slice: Callable[..., Any], tmp_path: Path, ramp: np.ndarray) -> Save:
    """save(numbers, locations, **attributes): five slices without a position, files in disorder."""

    def put(numbers: Sequence[Any], locations: Sequence[Any] = (), **attributes: Any) -> Path:
        folder = tmp_path / "series"
        folder.mkdir()
        for n, number in enumerate(numbers):
            plane = np.ascontiguousarray(ramp[..., n % 5].T)
            own = {"SliceLocation": locations[n]} if locations else {}
            own |= {} if number is None else {"InstanceNumber": number}
            dataset = make_slice(plane, None, **own, **attributes)
            dataset.save_as(folder / f"{(7 * n + 3) % 31:02d}", enforce_file_format=True)
        return folder

    return put


SIZES = {"PixelSpacing": [0.5, 0.25], "SliceThickness": 2}


def test_they_are_one_scan_in_the_order_of_their_numbers(save: Save, ramp: np.ndarray) -> None:
    folder = save([1, 2, 3, 4, 5], [10, 12.5, 15, 17.5, 20], **SIZES)
    volume = io.read(folder)
    np.testing.assert_array_equal(volume.voxels, ramp)
    assert volume.spacing == (0.25, 0.5, 2.5)
    (note,) = volume.notes
    assert "no Image Position and no Image Orientation: sorted by Instance Number and Slice" in note
    (scan,) = io.discover(folder).scans
    assert scan.sizes == (ramp.size, ramp.nbytes)


def test_their_size_and_order_are_those_of_another_reader(save: Save) -> None:
    sitk: Any = pytest.importorskip("SimpleITK", reason="needs SimpleITK: deepstd[itk]")
    folder = save([1, 2, 3, 4, 5], [10, 12.5, 15, 17.5, 20], **SIZES)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(names)
    volume = io.read(folder)
    np.testing.assert_array_equal(volume.voxels, sitk.GetArrayFromImage(image).T)
    assert volume.affine is not None
    assert volume.spacing is not None
    np.testing.assert_allclose(volume.spacing[:2], image.GetSpacing()[:2])
    np.testing.assert_allclose(volume.affine[:3, 3], image.GetOrigin())


@pytest.mark.parametrize(
    ("locations", "told", "distance"),
    [
        ((), "sorted by Instance Number.", 2.0),
        ((20, 17, 14, 11, 8), "and Slice Location, which agree", 3.0),
        ((1, 4, 2, 3, 5), "although Slice Location says another order", 2.0),
        ((7, 7, 7, 7, 7), "sorted by Instance Number.", 2.0),
    ],
)
def test_slice_location_says_their_distance_where_it_agrees(
    save: Save, ramp: np.ndarray, locations: Any, told: str, distance: float
) -> None:
    volume = io.read(save([1, 2, 3, 4, 5], locations, **SIZES))
    np.testing.assert_array_equal(volume.voxels, ramp)
    assert told in volume.notes[0]
    assert volume.spacing == pytest.approx((0.25, 0.5, distance))


def test_without_numbers_slice_location_tells_the_order(save: Save, ramp: np.ndarray) -> None:
    volume = io.read(save([None, 1, 1, 1, 1], [5, 4, 3, 2, 1], **SIZES))
    np.testing.assert_array_equal(volume.voxels, ramp[..., ::-1])
    assert "sorted by Slice Location" in volume.notes[0]


@pytest.mark.parametrize("numbers", [[1, 2, 2, 3, 4], [1, 2, None, 3, 4]])
def test_without_any_order_one_line_says_what_is_missing(save: Save, numbers: list[Any]) -> None:
    folder = save(numbers, **SIZES)
    with pytest.raises(
        InputError, match=r"neither Instance Number .* nor Slice Location"
    ) as caught:
        io.read(folder)
    assert "no Image Position" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("by", ["location", "time"])
def test_phases_become_a_fourth_axis(save: Save, ramp: np.ndarray, by: str) -> None:
    locations = [0, 3, 6, 9, 12] * 2 if by == "location" else ()
    folder = save(list(range(1, 11)), locations, **SIZES)
    if by == "time":
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            dataset.TemporalPositionIdentifier = 1 + (int(dataset.InstanceNumber) > 5)
            dataset.save_as(path)
    volume = io.read(folder)
    np.testing.assert_array_equal(volume.voxels, np.stack([ramp, ramp], -1))


def test_known_orientation_is_kept(save: Save) -> None:
    folder = save([1, 2, 3, 4, 5], **SIZES, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    affine = io.read(folder).affine
    assert affine is not None
    expected = [[0, 0, 2], [-0.25, 0, 0], [0, -0.5, 0]]
    np.testing.assert_allclose(affine[:3, :3], expected, atol=1e-12)


def test_slices_with_a_position_but_no_spacing_are_sorted_by_position(
    make_slice: Callable[..., Any], tmp_path: Path, ramp: np.ndarray
) -> None:
    for k in range(5):
        plane = np.ascontiguousarray(ramp[..., k].T)
        dataset = make_slice(plane, (0, 0, 2.0 * k), InstanceNumber=9 - k, PixelSpacing=None)
        dataset.save_as(tmp_path / str(k), enforce_file_format=True)
    volume = io.read(tmp_path)
    np.testing.assert_array_equal(volume.voxels, ramp)
    assert volume.spacing == (1, 1, 2)
    assert volume.notes == ("slices have no Pixel Spacing: pixels are taken to be of 1 mm",)


def test_slices_of_which_some_have_a_position_are_refused_with_those_that_have_none(
    save_series: Callable[..., Path], ramp: np.ndarray
) -> None:
    folder = save_series(ramp, [(0, 0, 2.0 * k) for k in range(5)])
    path = min(folder.iterdir())
    dataset = pydicom.dcmread(path)
    del dataset.ImagePositionPatient
    dataset.save_as(path)
    with pytest.raises(InputError, match=f"1 of 5 slices have no Image Position: .*{path.name}"):
        io.read(folder)


@pytest.mark.parametrize(
    "attributes",
    [
        {"Modality": "DX"},
        {"Modality": "CR"},
        {"Modality": "MG"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    ],
)
def test_single_projections_stay_single_images(save: Save, attributes: dict[str, Any]) -> None:
    folder = save([1, 2, 3, 4, 5], **SIZES, **attributes)
    assert len(io.discover(folder).scans) == 5
    assert {io.read_scan(scan).affine is None for scan in io.discover(folder).scans} == {True}


@pytest.mark.parametrize("metadata", list(Metadata))
def test_restored_to_dicom_they_claim_no_position(
    save: Save, ramp: np.ndarray, tmp_path: Path, metadata: Metadata
) -> None:
    volume = io.read(save([1, 2, 3, 4, 5], [1, 3, 5, 7, 9], **SIZES), metadata=metadata)
    io.write(volume, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        dataset = pydicom.dcmread(path)
        assert "ImagePositionPatient" not in dataset
        assert "ImageOrientationPatient" not in dataset
    back = io.read(tmp_path / "out")
    np.testing.assert_array_equal(back.voxels, ramp)
    assert back.spacing == volume.spacing
