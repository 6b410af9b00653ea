"""NRRD and MetaImage out: geometry, types and what a kept header may say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from itk_files import (
    OBLIQUE,
    SHEARED,
    SUFFIXES,
    TOLERANCE_MM,
    TYPES,
    VOXELS,
    assert_as_itk,
    by_itk,
    by_nibabel,
    by_us,
    nrrd,
    oblique,
    sitk,
)

from deepstd import api, io
from deepstd.errors import (
    GeometryError,
    InputError,
    MissingExtraError,
    OutputExistsError,
    UnsupportedFormatError,
)
from deepstd.volume import SourceHeader, Volume


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
