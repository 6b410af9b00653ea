"""NRRD and MetaImage: what SimpleITK and nibabel read of a file is what we read and write."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd import api, io
from deepstd.errors import (
    GeometryError,
    InputError,
    MissingExtraError,
    OutputExistsError,
    UnsupportedFormatError,
)
from deepstd.volume import SourceHeader, Volume

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'deepstd[itk]'")
TOLERANCE_MM = 1e-4
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
SUFFIXES = [".nrrd", ".mha", ".mhd"]
FIELDS = {
    "type": "short", "dimension": "3", "sizes": "4 3 2", "endian": "little", "encoding": "raw",
}  # fmt: skip
VALUES = np.arange(24, dtype="<i2")
VOXELS = VALUES.reshape((4, 3, 2), order="F")


def by_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [i, j, k] and world coordinates (RAS) of the corners, as SimpleITK has them."""
    image = sitk.ReadImage(str(path))
    corners = itertools.product(*[(-0.5, n - 0.5) for n in image.GetSize()[:3]])
    rest = (0.0,) * (image.GetDimension() - 3)
    points = [image.TransformContinuousIndexToPhysicalPoint((*c, *rest)) for c in corners]
    lps = np.array([[*point, 0.0][:3] for point in points])
    return sitk.GetArrayFromImage(image).T, lps * [-1, -1, 1]


def by_us(volume: Volume) -> np.ndarray:
    """World coordinates of the corners of a volume."""
    assert volume.affine is not None
    corners = list(itertools.product(*[(-0.5, n - 0.5) for n in volume.shape[:3]]))
    padded = np.array([[*corner, 0.0][:3] for corner in corners])
    return padded @ volume.affine[:3, :3].T + volume.affine[:3, 3]


def by_nibabel(path: Path) -> np.ndarray:
    image = nibabel.Nifti1Image.from_filename(path)
    volume = Volume(np.zeros(image.shape, "u1"), image.affine)
    return by_us(volume)


def assert_as_itk(volume: Volume, path: Path) -> None:
    voxels, corners = by_itk(path)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.voxels.dtype == voxels.dtype
    np.testing.assert_allclose(by_us(volume), corners, atol=TOLERANCE_MM)


def nrrd(path: Path, data: bytes = VALUES.tobytes(), **fields: Any) -> Path:
    told = {**FIELDS, **{name.replace("_", " "): value for name, value in fields.items()}}
    lines = "".join(f"{name}: {value}\n" for name, value in told.items() if value)
    path.write_bytes(b"NRRD0004\n" + lines.encode() + b"\n" + data)
    return path


def meta(path: Path, data: bytes = VALUES.tobytes(), **keys: Any) -> Path:
    told = {"ObjectType": "Image", "NDims": "3", "DimSize": "4 3 2", "ElementType": "MET_SHORT"}
    told |= {**keys, "ElementDataFile": keys.get("ElementDataFile", "LOCAL")}
    told["ElementDataFile"] = told.pop("ElementDataFile")  # the last
    lines = "".join(f"{name} = {value}\n" for name, value in told.items() if value)
    path.write_bytes(lines.encode() + data)
    return path


def oblique(spacing: tuple[float, ...], origin: tuple[float, ...], angles: Any) -> np.ndarray:
    affine = np.eye(4)
    for axis, angle in enumerate(angles):
        turn = np.eye(4)
        a, b = [n for n in range(3) if n != axis]
        turn[[a, a, b, b], [a, b, a, b]] = [
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        ]  # fmt: skip
        affine = affine @ turn
    affine[:3, :3] *= spacing
    affine[:3, 3] = origin
    return affine


SHEARED = np.array([[0.9, 0.2, 0, -80], [0, 1.1, 0.4, 33], [0.1, 0, 2.5, 7.5], [0, 0, 0, 1]])
OBLIQUE = oblique((0.7, 0.8, 3.3), (-91.5, 120.25, -1000.125), (0.3, -1.2, 2.5))


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


class TestWriting:
    """Geometry and values survive, whatever the format."""

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("affine", [OBLIQUE, SHEARED, np.diag([-1.0, 1, 1, 1])])
    def test_geometry(self, tmp_path: Path, suffix: str, affine: np.ndarray) -> None:
        path = tmp_path / f"a{suffix}"
        volume = Volume(VOXELS, affine)
        io.write(volume, path)
        assert_as_itk(volume, path)
        back = io.read(path)
        np.testing.assert_allclose(by_us(back), by_us(volume), atol=TOLERANCE_MM)
        io.write(back, tmp_path / "b.nii.gz")
        np.testing.assert_allclose(
            by_nibabel(tmp_path / "b.nii.gz"), by_us(volume), atol=TOLERANCE_MM
        )

    @given(
        st.tuples(*[st.floats(0.05, 10)] * 3),
        st.tuples(*[st.floats(-1000, 1000)] * 3),
        st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
        st.booleans(),
    )
    def test_any_oblique_scan(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        spacing: tuple[float, ...],
        origin: tuple[float, ...],
        angles: tuple[float, ...],
        mirrored: bool,
    ) -> None:
        folder = tmp_path_factory.mktemp("oblique")
        affine = oblique(spacing, origin, angles)
        affine[:3, 0] *= -1 if mirrored else 1
        volume = Volume(np.zeros((31, 17, 9), np.uint8), affine)
        for name in ("a.nrrd", "a.mha"):
            io.write(volume, folder / name)
            assert_as_itk(volume, folder / name)
            back = io.read(folder / name)
            np.testing.assert_allclose(by_us(back), by_us(volume), atol=TOLERANCE_MM)
            io.write(back, folder / f"again{name}")
            again = io.read(folder / f"again{name}")
            np.testing.assert_allclose(by_us(again), by_us(back), atol=1e-9)
            # NRRD holds the product of spacing and direction, which is rounded.
            assert name == "a.nrrd" or again.source == back.source

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_types(self, tmp_path: Path, suffix: str) -> None:
        for dtype in (*TYPES, ">i2", ">f8"):
            io.write(Volume(VOXELS.astype(dtype)), tmp_path / f"a{suffix}", overwrite=True)
            back = io.read(tmp_path / f"a{suffix}")
            assert back.voxels.dtype == np.dtype(dtype).newbyteorder("=")
            np.testing.assert_array_equal(back.voxels, VOXELS)
        for dtype, stored in (("?", "u1"), ("f2", "f4")):
            io.write(Volume(VOXELS.astype(dtype)), tmp_path / f"a{suffix}", overwrite=True)
            assert io.read(tmp_path / f"a{suffix}").voxels.dtype == stored

    def test_it_is_compressed(self, tmp_path: Path) -> None:
        for suffix in (".nrrd", ".mha"):
            io.write(Volume(np.zeros((64, 64, 64), np.int16)), tmp_path / f"a{suffix}")
            assert (tmp_path / f"a{suffix}").stat().st_size < 4096

    def test_the_two_files_of_a_pair(self, tmp_path: Path) -> None:
        io.write(Volume(VOXELS), tmp_path / "a.mhd")
        assert {path.name for path in tmp_path.iterdir()} == {"a.mhd", "a.zraw"}
        (tmp_path / "b.zraw").write_bytes(b"precious")
        with pytest.raises(OutputExistsError, match=r"b\.zraw"):
            io.write(Volume(VOXELS), tmp_path / "b.mhd")
        assert (tmp_path / "b.zraw").read_bytes() == b"precious"
        assert not (tmp_path / "b.mhd").exists()

    def test_images(self, tmp_path: Path) -> None:
        flat = Volume(np.arange(12, dtype=np.uint8).reshape(4, 3), np.diag([2.0, 3, 1, 1]))
        tilted = Volume(flat.voxels, OBLIQUE)
        for name, volume, shape in (("flat", flat, (4, 3)), ("tilted", tilted, (4, 3, 1))):
            io.write(volume, tmp_path / f"{name}.nrrd")
            back = io.read(tmp_path / f"{name}.nrrd")
            assert back.shape == shape
            assert back.affine is not None
            points = np.array([[0, 0, 0, 1], [3, 0, 0, 1], [0, 2, 0, 1]]).T
            np.testing.assert_allclose(
                (back.affine @ points)[:3], (volume.affine @ points)[:3], atol=TOLERANCE_MM
            )

    def test_a_singular_affine_is_refused(self, tmp_path: Path) -> None:
        skewed = np.eye(4)
        skewed[:2, :2] = 1
        for affine in (np.diag([1.0, 0, 1, 1]), skewed):
            with pytest.raises(GeometryError, match=r"a\.nrrd.*singular"):
                io.write(Volume(VOXELS, affine), tmp_path / "a.nrrd")
        assert list(tmp_path.iterdir()) == []

    def test_a_detached_nrrd_is_not_written(self, tmp_path: Path) -> None:
        with pytest.raises(UnsupportedFormatError, match=r"a\.nhdr.*\.nrrd"):
            io.write(Volume(VOXELS), tmp_path / "a.nhdr")

    @pytest.mark.parametrize(
        ("dtype", "slope", "intercept", "stored"),
        [
            ("i2", 1, 0, "i2"), ("u1", 1, 0, "u1"), ("i2", 1, -1024, "i2"), ("u2", 1, -1024, "i2"),
            ("i2", 1, 40000, "i4"), ("u2", 1, 0.5, "f4"), ("i2", 0.5, 3, "f4"), ("f4", 2, 1, "f4"),
            ("f8", 2, 1, "f8"), ("i2", np.nan, 5, "i2"), ("i2", 0, 5, "i2"),
        ],
    )  # fmt: skip
    def test_slope_and_intercept_of_nifti_are_applied(
        self, tmp_path: Path, dtype: str, slope: float, intercept: float, stored: str
    ) -> None:
        values = np.linspace(0, 200, 24).astype(dtype).reshape(4, 3, 2)
        image = nibabel.Nifti1Image(values, OBLIQUE)
        nibabel.save(image, tmp_path / "a.nii")
        data = bytearray((tmp_path / "a.nii").read_bytes())
        data[112:120] = np.array([slope, intercept], "<f4").tobytes()
        (tmp_path / "a.nii").write_bytes(data)
        io.write(io.read(tmp_path / "a.nii"), tmp_path / "a.nrrd")
        found, corners = by_itk(tmp_path / "a.nrrd")
        assert found.dtype == stored
        expected, expected_corners = by_itk(tmp_path / "a.nii")
        if slope > 0:  # 0 means none, which ITK takes for 1, and adds the intercept
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_allclose(corners, expected_corners, atol=TOLERANCE_MM)
        read = nibabel.Nifti1Image.from_filename(tmp_path / "a.nii").get_fdata()
        np.testing.assert_allclose(found, read, rtol=1e-6)


class TestBadFiles:
    """Whatever is in a file, ITK is asked only what cannot hurt it."""

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"sizes": "4 3"}, "sizes"),
            ({"sizes": "4 3 -2"}, "sizes"),
            ({"sizes": "4 3 x"}, "sizes"),
            ({"sizes": "4 3 0"}, "sizes"),
            ({"sizes": "10000 10000 10000"}, "declares"),
            ({"sizes": "10000 10000 10000", "encoding": "gzip"}, "declares"),
            ({"sizes": "10000 10000 10000", "encoding": "ascii"}, "declares"),
            ({"sizes": "10000 10000 10000", "encoding": "hex"}, "declares"),
            ({"sizes": "1 1 1", "dimension": "1"}, "sizes"),
            ({"dimension": "1", "sizes": "24"}, "2 to 4 axes"),
            ({"dimension": "5", "sizes": "4 3 2 1 1"}, "2 to 4 axes"),
            ({"dimension": ""}, "dimension"),
            ({"encoding": "bzip2"}, "bzip2"),
            ({"encoding": "gzip"}, "compressed voxels are damaged"),
            ({"encoding": "zip"}, "encoding"),
            ({"type": "block", "block size": "3"}, "block"),
            ({"endian": "middle"}, "endian"),
            ({"kinds": "vector domain domain"}, "vector"),
            ({"kinds": "RGB-color domain domain"}, "RGB"),
            ({"kinds": "domain domain"}, "kinds"),
            ({"spacings": "1 1 inf"}, "spacings"),
            ({"spacings": "1 1"}, "spacings"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0)"}, "space directions"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0) (0,0)"}, "geometry"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0) (0,0,nan)"}, "space directions"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0) (0,1,0)"}, "singular|geometry"),
            ({"space": "nowhere"}, "geometry"),
            ({"space": "; rm"}, "space"),
            ({"byte_skip": "-1", "encoding": "gzip"}, "byte skip"),
            ({"data_file": "none.raw"}, "none.raw is not beside"),
            ({"data_file": "/etc/passwd"}, "own folder"),
            ({"data_file": "../a.raw"}, "own folder"),
            ({"data_file": "a%03d.raw 1 3 1"}, "several files"),
            ({"data_file": "LIST"}, "several files"),
        ],
    )
    def test_nrrd(self, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
        path = nrrd(tmp_path / "a.nrrd", **fields)
        with pytest.raises(InputError, match=rf"a\.nrrd: .*({words})"):
            io.read(path)

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ({"NDims": ""}, "NDims"),
            ({"NDims": "999999999"}, "NDims"),
            ({"DimSize": "4 3"}, "DimSize"),
            ({"DimSize": "10000 10000 10000"}, "declares"),
            ({"DimSize": "10000 10000 10000", "CompressedData": "True"}, "declares"),
            ({"DimSize": "10000 10000 10000", "BinaryData": "False"}, "declares"),
            ({"BinaryData": "False", "DimSize": "2 2 2"}, "found|not a number"),
            ({"CompressedData": "True"}, "compressed voxels are damaged"),
            ({"ElementNumberOfChannels": "3"}, "several values"),
            ({"ElementType": "MET_FLOAT_ARRAY"}, "MET_FLOAT_ARRAY"),
            ({"ElementType": ""}, "type"),
            ({"ObjectType": "Tube"}, "not an image"),
            ({"TransformMatrix": "1 0 0 0 1 0"}, "TransformMatrix"),
            ({"TransformMatrix": "1 0 0 0 1 0 0 0 0"}, "singular|geometry"),
            ({"Offset": "1 2 nan"}, "Offset"),
            ({"ElementSpacing": "1 2"}, "ElementSpacing"),
            ({"ElementSpacing": "1 2 0"}, "geometry|positive"),
            ({"HeaderSize": "-1"}, "HeaderSize"),
            ({"ElementDataFile": "LIST"}, "several files"),
            ({"ElementDataFile": "a%03d.raw 1 3 1"}, "several files"),
            ({"ElementDataFile": "/etc/passwd"}, "own folder"),
            ({"ElementDataFile": "..\\a.raw"}, "own folder"),
            ({"ElementDataFile": "none.raw"}, "not beside"),
        ],
    )
    def test_metaimage(self, tmp_path: Path, keys: dict[str, Any], words: str) -> None:
        path = meta(tmp_path / "a.mha", **keys)
        with pytest.raises(InputError, match=rf"a\.mha: .*({words})"):
            io.read(path)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @pytest.mark.parametrize("compressed", [False, True])
    def test_cut_short_or_damaged(self, tmp_path: Path, suffix: str, compressed: bool) -> None:
        values = np.random.default_rng(0).integers(0, 999, (5, 6, 7), dtype=np.int16)
        path = tmp_path / f"a{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(values), str(path), useCompression=compressed)
        data = path.read_bytes()
        for length in range(12, len(data), 11):
            path.write_bytes(data[:length])
            with pytest.raises(InputError, match=rf"a\{suffix}: "):
                io.read(path)
        first = len(data) - (values.nbytes // 2)
        for position in range(first, len(data), 7) if compressed else ():
            path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
            with pytest.raises(InputError, match=rf"a\{suffix}: "):
                io.read(path)

    @pytest.mark.parametrize("kind", ["nrrd", "mha"])
    @given(st.lists(st.tuples(st.integers(0, 299), st.binary(max_size=6)), min_size=1, max_size=4))
    def test_any_header(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        kind: str,
        changes: list[tuple[int, bytes]],
    ) -> None:
        path = tmp_path_factory.mktemp("any") / f"a.{kind}"
        if kind == "nrrd":
            directions = "(1,0,0) (0,1,0) (0,0,1)"
            nrrd(path, space="LPS", space_directions=directions, kinds="domain domain domain")
        else:
            meta(path, TransformMatrix="1 0 0 0 1 0 0 0 1", ElementSpacing="1 1 2", Offset="1 1 1")
        data = bytearray(path.read_bytes())
        for position, new in changes:
            position %= len(data) - VALUES.nbytes
            data[position : position + len(new)] = new
        path.write_bytes(data)
        message = str(path)
        try:
            assert io.read(path).affine is not None
        except InputError as error:
            message = str(error)
        assert str(path) in message

    def test_a_bomb_is_not_inflated(self, tmp_path: Path) -> None:
        data = gzip.compress(bytes(1 << 24))
        path = nrrd(tmp_path / "a.nrrd", data, encoding="gzip", sizes="4 3 2")
        with pytest.raises(InputError, match=r"a\.nrrd.*header is wrong"):
            io.read(path)

    def test_nothing_goes_past_python_to_stderr(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        io.read(meta(tmp_path / "a.mha"))
        with pytest.raises(InputError):
            io.read(meta(tmp_path / "b.mha", TransformMatrix="1 0 0 0 1 0 0 0 0"))
        io.write(Volume(VOXELS, SHEARED), tmp_path / "c.nrrd")
        assert capfd.readouterr() == ("", "")


class TestHeader:
    """What is kept of a header, and what it gives back."""

    def test_patients_are_not_kept(self, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(VOXELS.T)
        image.SetMetaData("0010|0010", "DOE^JANE")
        for suffix in (".nrrd", ".mha"):
            path = tmp_path / f"a{suffix}"
            sitk.WriteImage(image, str(path))
            assert b"DOE" in path.read_bytes()
            for metadata in (io.Metadata.DEIDENTIFIED, io.Metadata.NONE):
                volume = io.read(path, metadata=metadata)
                assert volume.source.raw == b""
            kept = io.read(path, metadata=io.Metadata.ALL)
            assert json.loads(kept.source.raw)["fields"] == {"0010|0010": "DOE^JANE"}
            for other in (".nrrd", ".mha"):
                io.write(kept, tmp_path / f"b{other}", overwrite=True)
                back = sitk.ReadImage(str(tmp_path / f"b{other}"))
                assert back.GetMetaData("0010|0010") == "DOE^JANE"

    def test_a_field_cannot_become_another(self, tmp_path: Path) -> None:
        fields = {
            "ElementDataFile": "/etc/passwd", "a\nElementDataFile": "x", "b": "c\nDimSize = 9 9 9",
            "c = d": "e", "encoding": "hex", "plain": "kept", "d:=e": "f", "é": "ü",
        }  # fmt: skip
        raw = json.dumps({"fields": fields}).encode()
        volume = Volume(VOXELS, np.diag([-1.0, -1, 1, 1]), SourceHeader("nrrd", raw))
        for name in ("a.mha", "a.nrrd"):
            io.write(volume, tmp_path / name)
            np.testing.assert_array_equal(by_itk(tmp_path / name)[0], VOXELS)
            assert (tmp_path / name).read_bytes().count(b"passwd") == (name == "a.nrrd")
            kept = json.loads(io.read(tmp_path / name, metadata=io.Metadata.ALL).source.raw)
            assert kept["fields"]["plain"] == "kept"

    @pytest.mark.parametrize(
        "raw",
        [
            b"{", b"[]", b"7", b'{"origin":[1,2]}', b'{"origin":[1,2,"x"]}', b'{"spacing":[1,1,0]}',
            b'{"spacing":[1,1,NaN]}', b'{"direction":[1,0,0,0,1,0,0,0,0]}', b'{"fields":{"a":1}}',
            b'{"fields":[1]}', b"[" * 100_000, b'{"origin":[1e999,0,0]}', b'{"origin":7}',
            b'{"origin":[1' + b"0" * 400 + b",0,0]}",
        ],
    )  # fmt: skip
    def test_a_damaged_header(self, raw: bytes) -> None:
        for ask in (
            lambda source: io.check_header(source, (4, 3, 2), np.dtype("i2")),
            io.affine_of,
        ):
            if ask is io.affine_of and raw == b'{"origin":[1,2]}':
                continue  # a header of two axes
            with pytest.raises(InputError):
                ask(SourceHeader("nrrd", raw))

    def test_the_affine_needs_no_simpleitk(self, tmp_path: Path) -> None:
        io.write(Volume(VOXELS, OBLIQUE), tmp_path / "a.nrrd")
        volume = io.read(tmp_path / "a.nrrd")
        code = (
            "import sys; sys.modules['SimpleITK'] = None\n"
            "from deepstd import io; from deepstd.volume import SourceHeader\n"
            f"affine = io.affine_of(SourceHeader('nrrd', {volume.source.raw!r}))\n"
            "print(affine.tobytes().hex())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert volume.affine is not None
        assert done.stdout.strip() == volume.affine.tobytes().hex(), done.stderr

    def test_without_simpleitk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = nrrd(tmp_path / "a.nrrd")
        monkeypatch.setitem(sys.modules, "SimpleITK", None)
        with pytest.raises(MissingExtraError, match=r'a\.nrrd.*pip install "deepstd\[itk\]"'):
            io.read(path)
        with pytest.raises(MissingExtraError, match=r"b\.mha.*deepstd\[itk\]"):
            io.write(Volume(VOXELS), tmp_path / "b.mha")

    @pytest.mark.parametrize("affine", [OBLIQUE, SHEARED])
    def test_through_the_codec(
        self,
        tmp_path: Path,
        only_tiny: Path,
        phantom: Callable[..., np.ndarray],
        affine: np.ndarray,
    ) -> None:
        scan = Volume(phantom((20, 18, 12)), affine)
        io.write(scan, tmp_path / "a.nrrd")
        api.compress(tmp_path / "a.nrrd", tmp_path / "a.dstd", ratio=16)
        volume = api.decompress(tmp_path / "a.dstd", tmp_path / "back.nrrd")
        assert volume.source == io.read(tmp_path / "a.nrrd").source
        api.decompress(tmp_path / "a.dstd", tmp_path / "back.mha")
        api.decompress(tmp_path / "a.dstd", tmp_path / "back.nii.gz")
        expected = by_itk(tmp_path / "a.nrrd")[1]
        for name in ("back.nrrd", "back.mha"):
            voxels, corners = by_itk(tmp_path / name)
            np.testing.assert_array_equal(voxels, volume.voxels)
            np.testing.assert_allclose(corners, expected, atol=TOLERANCE_MM)
        np.testing.assert_allclose(
            by_nibabel(tmp_path / "back.nii.gz"), expected, atol=TOLERANCE_MM
        )
