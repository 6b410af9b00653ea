"""NIfTI in two files: read as one scan, which comes back as one file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Extension, Nifti1Pair
from nibabel.nifti2 import Nifti2Pair
from nibabel.spm2analyze import Spm2AnalyzeImage

from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.volume import Volume

AFFINE = np.array([[-0.7, 0.1, 0, 90], [0, 0.8, -0.2, -120], [0.1, 0, 2.5, 7], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(-900, 900, (5, 4, 3), np.int16)


def save(folder: Path, image_class: Any = Nifti1Pair, extension: bool = False) -> Path:
    """A pair with a slope, which nibabel leaves out of what it writes."""
    image = image_class(VOXELS, AFFINE)
    image.header["descrip"] = b"kept"
    if extension:
        image.header.extensions.append(Nifti1Extension("comment", b"a word"))
    path = folder / "scan.hdr"
    image.to_filename(path)
    raw, size = path.read_bytes(), image.header.sizeof_hdr
    header = image_class.header_class(raw[:size], check=False)
    header["scl_slope"], header["scl_inter"] = 2.5, -7
    path.write_bytes(header.binaryblock + raw[size:])
    return path


@pytest.mark.parametrize("image_class", [Nifti1Pair, Nifti2Pair])
@pytest.mark.parametrize("extension", [False, True])
@pytest.mark.parametrize("given", ["scan.hdr", "scan.img"])
def test_a_pair(tmp_path: Path, image_class: Any, extension: bool, given: str) -> None:
    original: Any = load(save(tmp_path, image_class, extension))
    volume = io.read(tmp_path / given)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert any("one .nii file" in note for note in volume.notes)
    assert io.declared(tmp_path / given) == (VOXELS.shape, VOXELS.dtype)
    io.write(volume, tmp_path / "back.nii.gz")
    back: Any = load(tmp_path / "back.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.dataobj), VOXELS * 2.5 - 7)
    np.testing.assert_array_equal(back.affine, original.affine)
    assert back.header["descrip"] == original.header["descrip"]
    assert len(back.header.extensions) == extension


def test_a_packed_image_and_upper_case_names(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "scan.img.gz").write_bytes(gzip.compress((tmp_path / "scan.img").read_bytes()))
    (tmp_path / "scan.img").unlink()
    np.testing.assert_array_equal(io.read(tmp_path / "scan.hdr").voxels, VOXELS)
    (tmp_path / "scan.hdr").rename(tmp_path / "scan.HDR")
    np.testing.assert_array_equal(io.read(tmp_path / "scan.img.gz").voxels, VOXELS)


def test_half_a_pair(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "scan.img").rename(tmp_path / "other.img")
    with pytest.raises(InputError, match=r"scan\.hdr: its image file scan\.img is not beside it"):
        io.read(tmp_path / "scan.hdr")
    with pytest.raises(InputError, match=r"other\.img: .*without its header other\.hdr beside"):
        io.read(tmp_path / "other.img")


@pytest.mark.parametrize("name", ["scan.hdr", "scan.img"])
def test_a_pair_that_is_cut_short(tmp_path: Path, name: str) -> None:
    save(tmp_path)
    data = (tmp_path / name).read_bytes()
    for length in (0, 4, 100, len(data) - 5):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(InputError, match=r"scan\.hdr"):
            io.read(tmp_path / "scan.hdr")


@pytest.mark.parametrize("name", ["spm.hdr", "spm.img"])
def test_an_analyze_pair_names_itself_and_a_command(tmp_path: Path, name: str) -> None:
    Spm2AnalyzeImage(VOXELS, np.diag([1, 2, 3, 1])).to_filename(tmp_path / "spm.img")
    with pytest.raises(UnsupportedFormatError, match=r"Analyze 7\.5 \(SPM\) scan.*nibabel\.load"):
        io.read(tmp_path / name)


def test_a_pair_cannot_be_written(tmp_path: Path) -> None:
    for name in ("q.hdr", "q.img"):
        with pytest.raises(UnsupportedFormatError, match=r"pair cannot be written.*\.nii\.gz"):
            io.write(Volume(np.zeros((3, 3))), tmp_path / name)
