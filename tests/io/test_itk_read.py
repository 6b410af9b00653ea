"""NRRD and MetaImage in: what a file says is what SimpleITK reads of it."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from itk_files import (
    SUFFIXES,
    TOLERANCE_MM,
    TYPES,
    VALUES,
    VOXELS,
    assert_as_itk,
    by_itk,
    by_nibabel,
    by_us,
    meta,
    nrrd,
    sitk,
)

from deepstd import io


class TestReading:
    """What a file says is what SimpleITK reads of it."""

    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("suffix", [*SUFFIXES, ".nhdr"])
    def test_types(self, tmp_path: Path, suffix: str, compressed: bool, dtype: str) -> None:
        values = np.random.default_rng(0).integers(0, 99, (2, 3, 4)).astype(dtype)
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((0.7, 0.8, 3.3))
        image.SetOrigin((-91.5, 120.25, -1000.125))
        path = tmp_path / f"a{suffix}"
        sitk.WriteImage(image, str(path), useCompression=compressed)
        assert_as_itk(io.read(path), path)

    @pytest.mark.parametrize(
        "space",
        [
            "right-anterior-superior", "left-anterior-superior", "left-posterior-superior", "RAS",
            "LAS", "LPS", "scanner-xyz", "3D-right-handed", "",
        ],
    )  # fmt: skip
    def test_spaces_of_nrrd(self, tmp_path: Path, space: str) -> None:
        path = nrrd(
            tmp_path / "a.nrrd",
            space=space,
            space_dimension="" if space else "3",
            space_directions="(1,0,0) (0,2,0.25) (0,-0.5,3)",
            space_origin="(5,6,7)",
        )
        assert_as_itk(io.read(path), path)

    @pytest.mark.parametrize(
        "fields",
        [
            {"spacings": "1 2 3"},
            {"spacings": "1 2 nan", "axis_mins": "5 6 7"},
            {"spacings": "1 2 3", "axis_mins": "5 6 7", "axis_maxs": "nan nan nan"},
            {"axis_mins": "0 0 0", "axis_maxs": "8 6 4", "centerings": "cell cell cell"},
            {"axismins": "0 0 0", "axismaxs": "8 6 4", "centers": "node node node"},
        ],
    )
    def test_geometry_of_nrrd_without_a_space(self, tmp_path: Path, fields: dict[str, Any]) -> None:
        path = nrrd(tmp_path / "a.nrrd", **fields)
        assert_as_itk(io.read(path), path)

    @pytest.mark.parametrize(
        "keys",
        [
            {},
            {"ElementSpacing": "1 2 3", "Offset": "4 5 6"},
            {"ElementSize": "1 2 3", "Position": "4 5 6", "Rotation": "0 1 0 -1 0 0 0 0 1"},
            {"ElementSpacing": "1 2 3", "ElementSize": "3 2 1", "DistanceUnits": "cm"},
            {"TransformMatrix": "1 0 0 0.3 1 0 0 0 1", "CenterOfRotation": "9 9 9"},
            {"Origin": "1 2 3", "Orientation": "0 0 1 0 1 0 1 0 0"},
            {"ElementToIntensityFunctionSlope": "2", "ElementToIntensityFunctionOffset": "7"},
            {"ElementType": "MET_LONG", "DimSize": "2 3 2"},
        ],
    )
    def test_geometry_of_metaimage(self, tmp_path: Path, keys: dict[str, Any]) -> None:
        path = meta(tmp_path / "a.mha", **keys)
        assert_as_itk(io.read(path), path)

    @pytest.mark.parametrize("encoding", ["raw", "gzip", "gz", "ascii", "txt", "hex"])
    @pytest.mark.parametrize("endian", ["little", "big"])
    def test_encodings_of_nrrd(self, tmp_path: Path, encoding: str, endian: str) -> None:
        data = VALUES.astype("<i2" if endian == "little" else ">i2").tobytes()
        stored = {"g": gzip.compress(data), "h": data.hex().encode(), "r": data}.get(
            encoding[0], " ".join(map(str, VALUES)).encode()
        )
        path = nrrd(tmp_path / "a.nrrd", stored, encoding=encoding, endian=endian)
        assert_as_itk(io.read(path), path)

    def test_encodings_of_metaimage(self, tmp_path: Path) -> None:
        big = VALUES.astype(">i2").tobytes()
        for name, data, keys in (
            ("msb", big, {"BinaryDataByteOrderMSB": "True"}),
            ("element", big, {"ElementByteOrderMSB": "True"}),
            ("ascii", " ".join(map(str, VALUES)).encode(), {"BinaryData": "False"}),
            ("zlib", zlib.compress(VALUES.tobytes()), {"CompressedData": "True"}),
        ):
            path = meta(tmp_path / f"{name}.mha", data, **keys)
            np.testing.assert_array_equal(io.read(path).voxels, VOXELS)

    def test_detached_voxels(self, tmp_path: Path) -> None:
        lines = b"one line\nand another\n"
        (tmp_path / "a.raw").write_bytes(VALUES.tobytes())
        (tmp_path / "b.raw").write_bytes(lines + bytes(3) + VALUES.tobytes())
        (tmp_path / "c.raw.gz").write_bytes(gzip.compress(bytes(3) + VALUES.tobytes()))
        for number, fields in enumerate(
            [
                {"data_file": "a.raw"},
                {"datafile": "b.raw", "lineskip": "2", "byteskip": "3"},
                {"data_file": "b.raw", "byte_skip": "-1"},
                {"data_file": "c.raw.gz", "byte_skip": "3", "encoding": "gzip"},
            ]
        ):
            path = nrrd(tmp_path / f"{number}.nhdr", b"", **fields)
            assert_as_itk(io.read(path), path)
        for number, keys in enumerate(
            [
                {"ElementDataFile": "a.raw"},
                {"ElementDataFile": "b.raw", "HeaderSize": str(len(lines) + 3)},
                {"ElementDataFile": "b.raw", "HeaderSize": "-1"},
            ]
        ):
            path = meta(tmp_path / f"{number}.mhd", b"", **keys)
            assert_as_itk(io.read(path), path)

    def test_two_axes(self, tmp_path: Path) -> None:
        path = nrrd(
            tmp_path / "a.nrrd",
            dimension="2",
            sizes="4 6",
            space_dimension="2",
            space_directions="(1,0) (0.5,2)",
            space_origin="(5,6)",
        )
        assert_as_itk(io.read(path), path)
        path = meta(tmp_path / "a.mha", NDims="2", DimSize="4 6", ElementSpacing="2 3")
        assert_as_itk(io.read(path), path)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_four_axes(self, tmp_path: Path, suffix: str) -> None:
        frames = [sitk.GetImageFromArray(VOXELS.T + n) for n in range(3)]
        image = sitk.JoinSeries(frames, 5.0, 2.5)
        image.SetSpacing((0.7, 0.8, 3.3, 2.5))
        path = tmp_path / f"a{suffix}"
        sitk.WriteImage(image, str(path))
        volume = io.read(path)
        assert volume.shape == (4, 3, 2, 3)
        assert_as_itk(volume, path)
        io.write(volume, tmp_path / "b.nrrd")
        back = sitk.ReadImage(str(tmp_path / "b.nrrd"))
        assert back.GetSpacing() == image.GetSpacing()
        assert back.GetOrigin() == image.GetOrigin()

    def test_content_decides(self, tmp_path: Path) -> None:
        nrrd(tmp_path / "a").rename(tmp_path / "nrrd.nii")
        meta(tmp_path / "b").rename(tmp_path / "meta")
        assert io.read(tmp_path / "nrrd.nii").source.format == "nrrd"
        assert io.read(tmp_path / "meta").source.format == "metaimage"

    @pytest.mark.parametrize("name", ["*.nrrd", "*.nii.gz"])
    def test_real_scans(self, data_dir: Path, tmp_path: Path, name: str) -> None:
        paths = sorted((data_dir / "samples").glob(name))
        assert paths
        for path in paths:
            volume = io.read(path)
            voxels, corners = by_itk(path)
            np.testing.assert_allclose(by_us(volume), corners, atol=TOLERANCE_MM)
            written = [tmp_path / f"{path.name}{suffix}" for suffix in (".mha", ".nrrd")]
            for target in written:
                io.write(volume, target)
                found, found_corners = by_itk(target)
                np.testing.assert_array_equal(found, voxels)
                np.testing.assert_allclose(found_corners, corners, atol=TOLERANCE_MM)
                target.unlink()
            if name == "*.nrrd":
                target = tmp_path / f"{path.name}.nii.gz"
                io.write(volume, target)
                np.testing.assert_allclose(by_nibabel(target), corners, atol=TOLERANCE_MM)
                np.testing.assert_allclose(by_itk(target)[1], corners, atol=TOLERANCE_MM)
