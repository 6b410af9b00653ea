"""Files that are known and not read: their own name, and a command that keeps every value."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advice import run_advice
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Image
from nibabel.spm2analyze import Spm2AnalyzeImage

from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError

VOXELS = np.random.default_rng(0).integers(-900, 900, (7, 6, 5), np.int16)


def refused(path: Path) -> str:
    with pytest.raises(UnsupportedFormatError) as caught:
        io.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "damaged" not in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.nii.zst", b"\x28\xb5\x2f\xfd" + bytes(20), "Zstandard.*zstd -d "),
        ("a.nii.xz", lzma.compress(b"hello"), "xz.*xz -dk "),
        ("a.nii.Z", b"\x1f\x9d\x90" + bytes(20), "compress.*gunzip -k "),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "7-Zip.*7z x "),
        ("a+orig.HEAD", b"type = string-attribute", "AFNI.*3dAFNItoNIFTI "),
        ("a+orig.BRIK.gz", bytes(90), "AFNI.*3dAFNItoNIFTI "),
        ("a.v", b"MATRIX72v" + bytes(90), "ECAT.*nibabel.load"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000.*opj_decompress -i "),
        ("a.dstd", b"\xd5STD\r\n\n\x03", "compressed already"),
    ],
)
def test_kinds_of_files(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormatError, match=words) as caught:
        io.read(path)
    command = words.partition(".*")[2]
    assert not command.endswith(" ") or f"{command}{path}" in str(caught.value)
    refused(path)


@pytest.mark.parametrize("slope", [1.0, 0.3])
def test_analyze(tmp_path: Path, slope: float) -> None:
    """nibabel's own conversion would quantise scaled values anew."""
    image = Spm2AnalyzeImage(VOXELS, np.diag([1, 2, 3, 1]))
    image.to_filename(tmp_path / "spm.img")
    raw = bytearray((tmp_path / "spm.hdr").read_bytes())
    raw[112:116] = np.float32(slope).tobytes()
    (tmp_path / "spm.hdr").write_bytes(raw)
    original: Any = load(tmp_path / "spm.hdr")
    run_advice(refused(tmp_path / "spm.img"), tmp_path)
    back: Any = load(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(original.dataobj))
    np.testing.assert_array_equal(back.affine, original.affine)
    io.read(tmp_path / "scan.nii.gz")


def test_nifti_of_other_types_and_axes(tmp_path: Path) -> None:
    colours = np.zeros(VOXELS.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"] = VOXELS % 200
    for voxels, expected in (
        (VOXELS + 1j * VOXELS[::-1].astype("c8"), VOXELS),
        (colours, VOXELS % 200),
        (np.stack([VOXELS, VOXELS[::-1]], -1)[:, :, :, None], VOXELS[..., None]),
    ):
        Nifti1Image(voxels, np.diag([1, 2, 3, 1])).to_filename(tmp_path / "a.nii")
        run_advice(refused(tmp_path / "a.nii"), tmp_path)
        volume = io.read(tmp_path / "scan.nii.gz")
        np.testing.assert_array_equal(np.squeeze(volume.voxels), np.squeeze(expected))


def test_arrays_of_other_types_and_shapes(tmp_path: Path) -> None:
    fields = np.zeros((4, 5), [("a", "i2"), ("b", "f4")])
    fields["a"] = VOXELS[:4, :5, 0]
    for values, expected in (
        (VOXELS.astype(np.longdouble), VOXELS.astype("f8")),
        (VOXELS + 1j, VOXELS.astype("f8")),
        (fields, fields["a"]),
        (VOXELS[None, None], VOXELS),
        (VOXELS[..., None, None], VOXELS),
    ):
        np.save(tmp_path / "a.npy", values)
        run_advice(refused(tmp_path / "a.npy"), tmp_path)
        np.testing.assert_array_equal(io.read(tmp_path / "scan.npy").voxels, expected)
    for values in (VOXELS.ravel(), np.zeros((0, 3)), np.array([[1, None]], object)):
        np.save(tmp_path / "a.npy", values, allow_pickle=True)
        refused(tmp_path / "a.npy")


def test_several_arrays_in_one_file(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as stream:
        np.save(stream, VOXELS)
        np.save(stream, VOXELS[:2])
    assert "several arrays" in refused(tmp_path / "a.npy")
    run_advice(refused(tmp_path / "a.npy"), tmp_path)
    np.testing.assert_array_equal(io.read(tmp_path / "scan.npy").voxels, VOXELS)
    with open(tmp_path / "a.npy", "wb") as stream:
        np.save(stream, VOXELS)
        stream.write(b"something else")
    with pytest.raises(InputError, match="follow it"):
        io.read(tmp_path / "a.npy")


def test_an_import_error_is_a_broken_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepstd.errors import MissingExtraError
    from deepstd.io import nifti_header

    def fail(*_: object) -> None:
        raise ImportError("libfoo.so.3: cannot open shared object file", name="nibabel.nifti1")

    Nifti1Image(VOXELS, np.eye(4)).to_filename(tmp_path / "a.nii")
    monkeypatch.setattr(nifti_header, "header_of", fail)
    with pytest.raises(MissingExtraError, match=r"a\.nii: .*libfoo.*reinstall nibabel") as caught:
        io.read(tmp_path / "a.nii")
    assert "damaged" not in str(caught.value)
