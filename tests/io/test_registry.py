"""Formats are told by content, and every error names the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepstd import io
from deepstd.errors import InputError, OutputExistsError, UnsupportedFormatError
from deepstd.volume import Volume


@pytest.fixture
def volume() -> Volume:
    return Volume(np.arange(24, dtype=np.uint16).reshape(4, 6), np.eye(4))


def test_content_decides_how_a_file_is_read(tmp_path: Path, volume: Volume) -> None:
    names = {".nii": "nifti1", ".nii.gz": "nifti1", ".npy": "npy", ".png": "png", ".tif": "tiff"}
    for suffix, name in names.items():
        io.write(volume, tmp_path / f"a{suffix}")
        (tmp_path / f"a{suffix}").rename(tmp_path / "no-suffix")
        back = io.read(str(tmp_path / "no-suffix"))
        assert back.source.format == name
        # Pictures have rows first, a volume with an affine has the axis along a row first.
        expected = volume.voxels.T if name in ("png", "tiff") else volume.voxels
        np.testing.assert_array_equal(back.voxels, expected)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello", "unknown kind"),
        (b"", "unknown kind"),
        (gzip.compress(b"hello", mtime=0), "unknown kind"),
        (gzip.compress(b"\x93NUMPY\x01\x00", mtime=0), "packed with gzip.*Unpack it first: gzip"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "scan"
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormatError, match=words) as caught:
        io.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("preamble", [bytes(128), b"II*\0" + bytes(124)])
def test_a_dicom_file_that_is_cut_short(tmp_path: Path, preamble: bytes) -> None:
    pytest.importorskip("pydicom")
    (tmp_path / "scan").write_bytes(preamble + b"DICM" + bytes(50))
    with pytest.raises(InputError, match=r"scan: .*DICOM header ends .* cut short"):
        io.read(tmp_path / "scan")


def test_a_suffix_that_the_content_belies(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "a.npy", "a.png", "a.nrrd", "a.mha"):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises(InputError, match=f"{name}.*suffix"):
            io.read(tmp_path / name)


def test_missing_files_and_folders(tmp_path: Path, volume: Volume) -> None:
    with pytest.raises(InputError, match=r"none\.nii: no such file"):
        io.read(tmp_path / "none.nii")
    with pytest.raises(InputError, match="No DICOM file is there"):
        io.read(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        io.write(volume, tmp_path / "none" / "a.nii")


def test_unknown_suffix(tmp_path: Path, volume: Volume) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"a\.jpg.*\.nii\.gz"):
        io.write(volume, tmp_path / "a.jpg")


def test_existing_files_are_kept(tmp_path: Path, volume: Volume) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match=r"a\.npy"):
        io.write(volume, path)
    assert path.read_bytes() == b"precious"
    io.write(volume, path, overwrite=True)
    np.testing.assert_array_equal(np.load(path), volume.voxels)


def test_a_place_is_taken_before_there_is_a_scan(tmp_path: Path, volume: Volume) -> None:
    for name in ("a.nii.gz", "a.npy", "a.png"):
        with io.writer(tmp_path / name) as put:
            assert not (tmp_path / name).exists()
            put(volume)
        expected = volume.voxels.T if name == "a.png" else volume.voxels
        np.testing.assert_array_equal(io.read(tmp_path / name).voxels, expected)
        with pytest.raises(OutputExistsError, match=name), io.writer(tmp_path / name):
            pytest.fail("taken")
    with pytest.raises(UnsupportedFormatError, match=r"a\.jpg"), io.writer(tmp_path / "a.jpg"):
        pytest.fail("taken")


def test_what_a_format_cannot_hold_is_told_without_a_file(tmp_path: Path) -> None:
    singular = np.diag([1.0, 0.0, 1.0, 1.0])
    for name, axes, dtype, affine, words in (
        ("a.png", 3, "u1", None, "3 axes and type uint8"),
        ("a.tif", 3, "bool", None, "type bool cannot be a TIFF file"),
        ("slices/", 2, "u1", None, "2 axes cannot be a folder"),
        ("a.bmp", 3, "u1", None, "names no format"),
        ("a.jpg", 3, "u1", None, "JPEG files of this suffix are read and not written"),
        ("a.nrrd", 3, "u1", singular, "singular"),
    ):
        if name == "a.nrrd":
            pytest.importorskip("SimpleITK")
        with pytest.raises(InputError, match=f"^{tmp_path}/{name}: .*{words}"):
            io.check_output(f"{tmp_path}/{name}", axes, np.dtype(dtype), affine)
    for name in ("a.nii.gz", "a.npy", "a.tif", "slices/"):
        io.check_output(f"{tmp_path}/{name}", 3, np.dtype("u1"), np.eye(4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full"), MemoryError])
def test_a_failed_write_leaves_nothing(
    tmp_path: Path, volume: Volume, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
        io.write(volume, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
