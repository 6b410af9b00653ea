"""Siemens mosaics: unpacked to volumes where their private header says how, else refused."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from deepstd import io
from deepstd.errors import InputError
from deepstd.io import Metadata

Save = Callable[..., Path]
SLICES, ROWS, COLUMNS, GRID = 7, 4, 6, 3
POSITION = (-50.0, -40.0, 12.0)


def csa(**fields: list[Any]) -> bytes:
    """A private image header of version 2, of one text a value."""
    data = b"SV10\4\3\2\1" + struct.pack("<II", len(fields), 77)
    for name, values in fields.items():
        kind = b"US" if isinstance(values[0], int) else b"FD"
        data += name.encode().ljust(64, b"\0") + struct.pack("<I", len(values))
        data += kind.ljust(4, b"\0") + struct.pack("<III", 6, len(values), 77)
        for value in values:
            text = str(value).encode()
            data += struct.pack("<4I", len(text), len(text), 77, len(text))
            data += text + bytes(-len(text) % 4)
    return data + bytes(len(data) % 2)


@pytest.fixture
def voxels() -> np.ndarray:
    """(column, row, slice, moment), all different."""
    shape = (COLUMNS, ROWS, SLICES, 2)
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


@pytest.fixture
def save(make_slice: Callable[..., Any], tmp_path: Path, voxels: np.ndarray) -> Save:
    """save(normal, header, **attributes): two mosaics with a private header."""

    def put(
        normal: Any = (0.0, 0.0, 1.0), header: tuple[str, ...] = ("csa",), **attributes: Any
    ) -> Path:
        folder = tmp_path / "mosaics"
        folder.mkdir()
        for t in range(2):
            plane = np.zeros((GRID * ROWS, GRID * COLUMNS), np.uint16)
            for k in range(SLICES):
                top, left = k // GRID * ROWS, k % GRID * COLUMNS
                plane[top : top + ROWS, left : left + COLUMNS] = voxels[:, :, k, t].T
            told = {
                "Modality": "MR",
                "Manufacturer": "SIEMENS",
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
                "SpacingBetweenSlices": 3.5,
                "SliceThickness": 3,
                "SliceLocation": 1,
                "AcquisitionNumber": t + 1,
                "InstanceNumber": t + 1,
                "PixelSpacing": [2, 3],
                **attributes,
            }
            dataset = make_slice(plane, POSITION, **told)
            fields = {"NumberOfImagesInMosaic": [SLICES]}
            if normal is not None:
                fields["SliceNormalVector"] = list(normal)
            if "csa" in header:
                block = dataset.private_block(0x29, "SIEMENS CSA HEADER", create=True)
                block.add_new(0x10, "OB", csa(**fields))
            if "count" in header:
                block = dataset.private_block(0x19, "SIEMENS MR HEADER", create=True)
                block.add_new(0x0A, "US", SLICES)
            dataset.save_as(folder / f"{t}", enforce_file_format=True)
        return folder

    return put


def test_slices_are_where_nibabel_says(save: Save, voxels: np.ndarray) -> None:
    folder = save()
    volume = io.read(folder)
    np.testing.assert_array_equal(volume.voxels, voxels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its DICOM readers call themselves experimental
        from nibabel.nicom.dicomwrappers import MosaicWrapper
    wrapper: Any = MosaicWrapper(pydicom.dcmread(folder / "0"))
    # Its axes are (row, column, slice), LPS.
    expected = np.diag([-1.0, -1, 1, 1]) @ wrapper.affine[:, [1, 0, 2, 3]]
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    np.testing.assert_array_equal(wrapper.get_unscaled_data().swapaxes(0, 1), voxels[..., 0])
    assert any("7 slices each, side by side (Siemens mosaic)" in note for note in volume.notes)
    (entry,) = io.survey([folder])["series"]
    assert entry["shape"] == list(voxels.shape)
    (scan,) = io.discover(folder).scans
    assert scan.sizes == (voxels.size, voxels.nbytes)


def test_slices_may_be_stacked_against_the_cross_product(save: Save, voxels: np.ndarray) -> None:
    volume = io.read(save(normal=(0.0, 0.0, -1.0)))
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine[:3, 2], [0, 0, -3.5])
    np.testing.assert_allclose(volume.affine[2, 3], POSITION[2])


def test_without_a_slice_normal_its_direction_is_assumed_and_told(
    save: Save, voxels: np.ndarray
) -> None:
    volume = io.read(save(header=("count",)))
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert any("slices are taken to be stacked along" in note for note in volume.notes)


@pytest.mark.parametrize("creator", [True, False])
def test_the_number_of_slices_is_found_without_the_name_of_its_block(
    save: Save, voxels: np.ndarray, creator: bool
) -> None:
    folder = save(header=("count",))
    if not creator:
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            del dataset[0x00190010]
            dataset[0x0019100A] = pydicom.DataElement(
                0x0019100A, "UN", SLICES.to_bytes(2, "little")
            )
            dataset.save_as(path)
    np.testing.assert_array_equal(io.read(folder).voxels, voxels)


def test_without_the_private_header_a_mosaic_is_refused_with_a_tool(save: Save) -> None:
    folder = save(header=())
    with pytest.raises(InputError, match=r"a Siemens mosaic without .*dcm2niix"):
        io.read(folder)


def test_mosaics_of_another_vendor_are_refused_with_a_tool(save: Save) -> None:
    folder = save(header=(), Manufacturer="UIH", ImageType=["ORIGINAL", "PRIMARY", "VFRAME"])
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.private_block(0x65, "Image Private Header", create=True).add_new(0x50, "DS", "7")
        dataset.save_as(path)
    with pytest.raises(InputError, match=r"side by side.*dcm2niix"):
        io.read(folder)


def test_slices_that_others_unpacked_stay_as_they_are(
    save_series: Callable[..., Path], ramp: np.ndarray
) -> None:
    folder = save_series(
        ramp, [(0, 0, 2.0 * k) for k in range(5)], AcquisitionMatrix=[6, 0, 0, 4], Modality="MR"
    )
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x29, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa(NumberOfImagesInMosaic=[4]))
        dataset.save_as(path)
    np.testing.assert_array_equal(io.read(folder).voxels, ramp)


def test_a_number_of_slices_that_does_not_fit_is_damage(save: Save) -> None:
    folder = save()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset[0x00291010].value = csa(NumberOfImagesInMosaic=[90])
        dataset.save_as(path)
    with pytest.raises(InputError, match="a mosaic of 90 slices cannot have"):
        io.read(folder)


@pytest.mark.parametrize("metadata", [Metadata.DEIDENTIFIED, Metadata.NONE])
def test_without_private_attributes_it_comes_back_as_slices(
    save: Save, voxels: np.ndarray, tmp_path: Path, metadata: Metadata
) -> None:
    volume = io.read(save(), metadata=metadata)
    io.write(volume, tmp_path / "out")
    datasets = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len(datasets) == 2 * SLICES
    assert sorted(d.InstanceNumber for d in datasets) == list(range(1, 2 * SLICES + 1))
    assert len({d.SOPInstanceUID for d in datasets}) == 2 * SLICES
    for dataset in datasets:
        assert (dataset.Rows, dataset.Columns) == (ROWS, COLUMNS)
        assert "MOSAIC" not in dataset.ImageType
        assert not [element for element in dataset if element.tag.is_private]
    back = io.read(tmp_path / "out")
    np.testing.assert_array_equal(back.voxels, voxels)
    assert back.affine is not None
    assert volume.affine is not None
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-6)


def test_with_all_attributes_it_comes_back_as_it_was(
    save: Save, voxels: np.ndarray, tmp_path: Path
) -> None:
    folder = save()
    io.write(io.read(folder, metadata=Metadata.ALL), tmp_path / "out")
    for t, path in enumerate(sorted((tmp_path / "out").iterdir())):
        original = pydicom.dcmread(folder / f"{t}")
        back = pydicom.dcmread(path)
        np.testing.assert_array_equal(back.pixel_array, original.pixel_array)
        assert back[0x00291010].value == original[0x00291010].value
        assert tuple(back.ImagePositionPatient) == POSITION
    np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, voxels)
