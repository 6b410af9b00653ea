"""What cannot be restored is said when a scan is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from itk_files import OBLIQUE, SHEARED, sitk

from deepstd import io
from deepstd.io.limits import with_limits
from deepstd.volume import Volume

SCAN = np.zeros((4, 3, 2), "i2")


def test_axes_that_simpleitk_refuses_in_nifti(tmp_path: Path) -> None:
    for affine, refused in ((SHEARED, True), (OBLIQUE, False), (np.diag([1, 2, 3, 1]), False)):
        volume = with_limits(Volume(SCAN, affine), "a.nrrd")
        assert any("not at right angles" in note for note in volume.notes) == refused
        for name in ("a.nii", "a.nrrd", "a.mha"):
            io.write(volume, tmp_path / name, overwrite=True)
        if refused:
            with pytest.raises(RuntimeError, match="orthonormal"):
                sitk.ReadImage(str(tmp_path / "a.nii"))
        else:
            sitk.ReadImage(str(tmp_path / "a.nii"))
        sitk.ReadImage(str(tmp_path / "a.nrrd"))
        sitk.ReadImage(str(tmp_path / "a.mha"))


def test_the_skew_that_simpleitk_lets_pass(tmp_path: Path) -> None:
    for skew, refused in ((0.7e-4, False), (1.1e-4, True)):
        affine = np.eye(4)
        affine[0, 1] = skew
        volume = with_limits(Volume(SCAN, affine), "a.nrrd")
        assert any("not at right angles" in note for note in volume.notes) == refused
        io.write(volume, tmp_path / "a.nii", overwrite=True)
        if refused:
            with pytest.raises(RuntimeError, match="orthonormal"):
                sitk.ReadImage(str(tmp_path / "a.nii"))
        else:
            sitk.ReadImage(str(tmp_path / "a.nii"))


@pytest.mark.parametrize(("dtype", "other"), [("bool", "uint8"), ("f2", "float32"), ("i8", None)])
def test_types_that_other_formats_do_not_have(
    tmp_path: Path, dtype: str, other: str | None
) -> None:
    np.save(tmp_path / "a.npy", SCAN.astype(dtype))
    volume = io.read(tmp_path / "a.npy")
    assert any(f"becomes {other}" in note for note in volume.notes) == (other is not None)
    io.write(volume, tmp_path / "a.nii")
    assert io.read(tmp_path / "a.nii").voxels.dtype == np.dtype(other or dtype)


def test_notes_are_not_repeated() -> None:
    volume = with_limits(Volume(SCAN, SHEARED), "a_label.nrrd")
    assert len(volume.notes) == 1
    assert volume.labels
    assert with_limits(volume, "a_label.nrrd").notes == volume.notes
