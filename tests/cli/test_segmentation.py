"""A DICOM segmentation on the command line: exact at any ratio, as an object and as labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from deepstd.cli.app import main

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def liver(data_dir: Path) -> Path:
    return data_dir / "dicom" / "single" / "liver.dcm"


def test_there_and_back(liver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "liver.dstd"
    assert run("compress", liver, "--ratio", 1000, "-o", packed) == 0
    told = capsys.readouterr()
    assert "none; lossless: every voxel verified" in told.out
    assert "the size that was asked for does not apply" in " ".join((told.out + told.err).split())
    assert run("decompress", packed, "-o", tmp_path / "back.dcm") == 0
    before, after = pydicom.dcmread(liver), pydicom.dcmread(tmp_path / "back.dcm")
    assert after.PixelData == before.PixelData
    assert after.SOPClassUID == before.SOPClassUID
    assert run("verify", packed, "--against", liver) == 0
    assert run("decompress", packed, "-o", tmp_path / "back.nii.gz") == 0
    image: Any = nibabel.load(tmp_path / "back.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), before.pixel_array.transpose(2, 1, 0))
    assert run("decompress", packed, "-o", tmp_path / "small.nii", "--level", 1) == 0
