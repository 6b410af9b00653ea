"""A region keeps its place in the world, its time, its grey scale; files of it have them, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd import io
from deepstd.cli.app import main
from deepstd.container import parse
from deepstd.errors import InputError, RegionError
from deepstd.io.headers import frames_of
from tests.golden.record import FOLDER

Phantom = Callable[..., np.ndarray]
NAMES = (
    *("dicom", "dicom-bare", "dicom-own-scales", "frames", "image-png", "image-flat", "layered"),
    *("volume-nifti1", "volume-nifti2", "volume-nifti-big", "volume-nrrd", "volume-metaimage"),
    *("volume-thick", "lossless", "lossless-dicom-own-scales", "lossless-frames", "type-bool"),
)


def spans_of(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return (slice(2, 9, 3), slice(0, 1), slice(1, 4, 2), slice(1, None))[: len(shape)]


@pytest.mark.parametrize("name", NAMES)
def test_every_format(name: str, golden_bundles: dict[str, str], tmp_path: Path) -> None:
    path = FOLDER / f"{name}.dstd"
    digest = parse(path.read_bytes(), name).head.bundle.digest.hex()
    scan = deepstd.open(path, model=golden_bundles.get(digest, "auto"))
    key, whole = spans_of(scan.shape), scan.volume()
    part = scan.region(key)
    np.testing.assert_array_equal(part.voxels, whole.voxels[key])
    assert part.voxels.dtype == whole.voxels.dtype
    assert (part.affine is None) == (whole.affine is None)
    if part.affine is not None and whole.affine is not None:
        index = np.array([*(1, 0, 1)[: min(scan.ndim, 3)], *[0] * (3 - min(scan.ndim, 3)), 1])
        there = index.copy()
        for axis, span in enumerate(key[:3]):
            there[axis] = span.start + index[axis] * (span.step or 1)
        np.testing.assert_allclose(part.affine @ index, whole.affine @ there, atol=2e-4)
    assert io.scale_of(part.source) == io.scale_of(whole.source)
    if scan.ndim == 4:
        step, first = frames_of(whole)
        assert frames_of(part) == pytest.approx((step, first + step))
    written = tmp_path / "part.nii"
    io.write(part, written)
    again = deepstd.read(written)
    assert again.affine is not None
    if part.affine is not None:
        np.testing.assert_allclose(again.affine, part.affine, atol=2e-4)
    if name not in ("image-png", "image-flat", "dicom-own-scales"):
        real = io.real_world(again).voxels.reshape(part.shape)
        np.testing.assert_array_equal(real, io.real_world(part).voxels)


def test_headers_of_voxel_sizes_alone(phantom: Phantom, tmp_path: Path, only_tiny: Path) -> None:
    image = nibabel.Nifti1Image(phantom((12, 14, 10)), None)
    image.header["pixdim"][1:4] = 2, 3, 4
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(image, tmp_path / "scan.nii")
    deepstd.compress(tmp_path / "scan.nii", tmp_path / "scan.dstd", lossless=True)
    scan = deepstd.open(tmp_path / "scan.dstd")
    part = scan.region("3:,1:,2:")
    assert part.affine is not None
    assert scan.affine is not None
    np.testing.assert_allclose(part.affine[:3, 3], (scan.affine @ (3, 1, 2, 1))[:3])


def test_command(tmp_path: Path, phantom: Phantom, capsys: pytest.CaptureFixture[str]) -> None:
    voxels, affine = phantom((20, 18, 16)), np.diag([1.5, 1, 2, 1])
    path, output = str(tmp_path / "scan.dstd"), str(tmp_path / "part.nii.gz")
    deepstd.compress(deepstd.Volume(voxels, affine), path, lossless=True)
    assert main(["decompress", path, "--region", "4:9,:,7", "-o", output]) == 0
    assert "5 x 18 x 1" in capsys.readouterr().out
    image = nibabel.Nifti1Image.from_filename(output)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), voxels[4:9, :, 7:8])
    assert image.affine is not None
    np.testing.assert_allclose(image.affine[:3, 3], (6, 0, 14))
    for region, told in (("30,:,:", "out of bounds"), ("5:5", "no voxels"), ("::-1", "backwards")):
        assert main(["decompress", path, "--region", region, "-o", output, "--overwrite"]) == 1
        assert told in capsys.readouterr().err
    assert main(["decompress", path, "--region", ":", "--level", "1", "-o", "x.nii"]) == 1
    assert "a region or a level" in capsys.readouterr().err


def test_straightened_region(tmp_path: Path, phantom: Phantom) -> None:
    affine = np.diag([1.0, 1, 3, 1])
    affine[1, 2] = 1.2
    deepstd.compress(
        deepstd.Volume(phantom((16, 18, 12)), affine), tmp_path / "scan.dstd", lossless=True
    )
    found = deepstd.decompress(tmp_path / "scan.dstd", region=(..., slice(2, 8)), straighten=True)
    assert found.affine is not None
    assert found.affine[1, 2] == 0


def test_regions_that_are_none(tmp_path: Path, phantom: Phantom) -> None:
    deepstd.compress(deepstd.Volume(phantom((9, 8))), tmp_path / "scan.dstd", lossless=True)
    scan = deepstd.open(tmp_path / "scan.dstd")
    for key in ("4:4", (slice(None, None, -1),), 9, (0, 0, 0)):
        with pytest.raises(RegionError) as caught:
            scan.region(key)
        assert isinstance(caught.value, InputError)
