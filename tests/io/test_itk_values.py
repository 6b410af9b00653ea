"""What NRRD and MetaImage headers say of their values and data files: kept, applied, or told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from advice import run_advice
from itk_files import VALUES, VOXELS, meta, nrrd, sitk

from deepstd import api, io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import Metadata

SLOPE: dict[str, Any] = {
    "ElementToIntensityFunctionSlope": "2.5",
    "ElementToIntensityFunctionOffset": "-7",
}
REAL = VOXELS * 2.5 - 7


def header_of(path: Path) -> str:
    return path.read_bytes().partition(b"ElementDataFile")[0].decode()


@pytest.mark.parametrize("metadata", list(Metadata))
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_a_slope_is_kept_for_metaimage_and_told(
    tmp_path: Path, suffix: str, metadata: Metadata
) -> None:
    path = meta(tmp_path / "a.mha", **SLOPE, ElementSpacing="1 2 3")
    volume = io.read(path, metadata=metadata)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert any("ElementToIntensityFunction is 2.5 x value + -7" in note for note in volume.notes)
    np.testing.assert_array_equal(io.real_world(volume).voxels, REAL)
    io.write(volume, tmp_path / f"b{suffix}")
    told = header_of(tmp_path / f"b{suffix}")
    assert "ElementToIntensityFunctionSlope = 2.5\n" in told
    assert "ElementToIntensityFunctionOffset = -7\n" in told
    image = sitk.ReadImage(str(tmp_path / f"b{suffix}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, VOXELS)
    assert image.GetSpacing() == (1, 2, 3)
    back = io.read(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(back.voxels, VOXELS)
    assert back.source == volume.source


def test_a_slope_is_applied_or_stated_elsewhere(tmp_path: Path) -> None:
    volume = io.read(meta(tmp_path / "a.mha", **SLOPE))
    io.write(volume, tmp_path / "b.nrrd")
    np.testing.assert_array_equal(io.read(tmp_path / "b.nrrd").voxels, REAL)
    io.write(volume, tmp_path / "b.nii")
    image = nibabel.Nifti1Image.from_filename(tmp_path / "b.nii")
    np.testing.assert_array_equal(np.asarray(image.dataobj), REAL)
    np.testing.assert_array_equal(io.read(tmp_path / "b.nii").voxels, VOXELS)
    io.write(io.read(tmp_path / "b.nii"), tmp_path / "c.mha")
    np.testing.assert_array_equal(io.read(tmp_path / "c.mha").voxels, REAL)


def test_slopes_that_say_nothing(tmp_path: Path) -> None:
    for slope, words in (("1", ""), ("0", "Slope is 0")):
        volume = io.read(meta(tmp_path / "a.mha", ElementToIntensityFunctionSlope=slope))
        assert bool(words) == any(words in note for note in volume.notes if words)
        assert volume.source.raw == b""
    with pytest.raises(InputError, match=r"a\.mha: .*Slope is 'x'"):
        io.read(meta(tmp_path / "a.mha", ElementToIntensityFunctionSlope="x"))


def test_through_the_codec(tmp_path: Path, only_tiny: Path) -> None:
    axes = (np.mgrid[:20, :18, :9].sum(0) * 4).astype("<i2")
    path = meta(tmp_path / "a.mha", axes.tobytes(order="F"), DimSize="20 18 9", **SLOPE)
    report = api.compress(path, tmp_path / "a.dstd", ratio=10)
    assert any("ElementToIntensityFunction" in note for note in report.notes)
    api.decompress(tmp_path / "a.dstd", tmp_path / "b.mha")
    assert "FunctionSlope = 2.5\n" in header_of(tmp_path / "b.mha")
    assert api.verify(tmp_path / "a.dstd", against=path).as_stated


def test_what_nrrd_says_of_its_values_is_told(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", old_min="-1000", oldmax="3000", sample_units='"HU"')
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    (note,) = volume.notes
    assert 'old min -1000, old max 3000, sample units "HU"' in note
    assert io.read(nrrd(tmp_path / "b.nrrd")).notes == ()


def test_free_text_of_nrrd_is_not_quoted(tmp_path: Path) -> None:
    """Notes are kept in files without metadata, too, and text may name a patient."""
    path = nrrd(tmp_path / "a.nrrd", old_min="Doe^Jane", sample_units='"Doe 19610203"')
    (note,) = io.read(path).notes
    assert "old min, sample units." in note
    assert "Doe" not in note


@pytest.mark.parametrize("name", ["scan.raw", "./scan.raw", "data/scan.raw", "./data/../scan.raw"])
def test_relative_names_of_data_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / name).write_bytes(VALUES.tobytes())
    for path in (
        meta(tmp_path / "a.mhd", b"", ElementDataFile=name),
        nrrd(tmp_path / "a.nhdr", b"", data_file=name),
    ):
        expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T
        np.testing.assert_array_equal(expected, VOXELS)
        if ".." in name:
            with pytest.raises(InputError, match=rf"{path.name}: .*not in its own folder.*\.\./"):
                io.read(path)
        else:
            np.testing.assert_array_equal(io.read(path).voxels, VOXELS)


def test_several_data_files_are_joined_by_the_command_in_the_message(tmp_path: Path) -> None:
    for number in range(2):
        data = VALUES[12 * number : 12 * number + 12].tobytes()
        (tmp_path / f"s{number}.raw").write_bytes(data)
    path = meta(tmp_path / "a.mhd", b"s0.raw\ns1.raw\n", ElementDataFile="LIST")
    with pytest.raises(UnsupportedFormatError, match=r"several files.*Join them") as caught:
        io.read(path)
    run_advice(str(caught.value), tmp_path)
    np.testing.assert_array_equal(io.read(tmp_path / "scan.nrrd").voxels, VOXELS)
