"""How much of a header is kept, and what of it is in the compressed file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from deepstd import api, io
from deepstd.cli.app import main
from deepstd.io import Metadata

CLASSES = {"1": nibabel.Nifti1Image, "2": nibabel.Nifti2Image}


def scan(path: Path, voxels: np.ndarray, kind: str = "1", order: str = "<") -> Path:
    """A NIfTI scan that says whose it is wherever it can."""
    affine = np.array([[0, -0.9, 0.1, 11], [0.8, 0, 0, -7], [0, 0.1, 2.5, 3], [0, 0, 0, 1]])
    header = CLASSES[kind].header_class(endianness=order)
    image = CLASSES[kind](voxels, affine, header)
    image.header.set_slope_inter(2.0, -10.0)
    for name in ("descrip", "aux_file", "intent_name", *(("db_name",) if kind == "1" else ())):
        image.header[name] = b"JANE DOE"
    image.header.extensions.append(Nifti1Extension("comment", b"JANE DOE"))
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("kind", ["1", "2"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("metadata", list(Metadata))
def test_nifti(tmp_path: Path, kind: str, order: str, metadata: Metadata) -> None:
    voxels = np.arange(24, dtype="i2").reshape(4, 3, 2)
    path = scan(tmp_path / "a.nii", voxels, kind, order)
    volume = io.read(path, metadata=metadata)
    io.write(volume, tmp_path / "b.nii")
    data = (tmp_path / "b.nii").read_bytes()
    if metadata is not Metadata.NONE:
        assert data == path.read_bytes()
        return
    assert b"JANE" not in data
    image_class = CLASSES[kind]
    before, after = (image_class.from_filename(tmp_path / name) for name in ("a.nii", "b.nii"))
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.header.endianness == order


@pytest.mark.parametrize(("option", "kept"), [("--drop-metadata", False), (None, True)])
def test_on_the_command_line(
    tmp_path: Path,
    only_tiny: Path,
    phantom: Callable[..., np.ndarray],
    option: str | None,
    kept: bool,
) -> None:
    path = scan(tmp_path / "a.nii", phantom((18, 16, 12)))
    options = [] if option is None else [option]
    assert main(["compress", str(path), "--ratio", "12", *options]) == 0
    api.decompress(tmp_path / "a.dstd", tmp_path / "b.nii")
    assert (b"JANE" in (tmp_path / "b.nii").read_bytes()) == kept


@pytest.mark.parametrize(("option", "kept"), [("--keep-metadata", True), (None, False)])
def test_key_value_pairs(
    tmp_path: Path,
    only_tiny: Path,
    phantom: Callable[..., np.ndarray],
    option: str | None,
    kept: bool,
) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'deepstd[itk]'")
    image = sitk.GetImageFromArray(phantom((18, 16, 12)))
    image.SetMetaData("0010|0010", "JANE DOE")
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    options = [] if option is None else [option]
    assert main(["compress", str(tmp_path / "a.nrrd"), "--ratio", "12", *options]) == 0
    api.decompress(tmp_path / "a.dstd", tmp_path / "b.mha")
    assert (b"JANE" in (tmp_path / "b.mha").read_bytes()) == kept
