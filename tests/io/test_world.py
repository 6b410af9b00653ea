"""Pictures written with world coordinates, and volumes as pictures: as SimpleITK has both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from itk_files import OBLIQUE, by_itk, sitk
from PIL import Image

from deepstd import io
from deepstd.volume import SourceHeader, Volume

PIXELS = np.arange(6 * 4, dtype="u2").reshape(6, 4) * 100  # rows, columns
WORLD = [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"]


def by_simpleitk(path: Path) -> tuple[np.ndarray, tuple[float, ...], tuple[float, ...]]:
    """Pixels (columns, rows[, slices]), spacing and direction."""
    image = sitk.ReadImage(str(path))
    return by_itk(path)[0], image.GetSpacing(), image.GetDirection()


def assert_same_world(
    written: Path, source: Path, spacing: tuple[float, ...] | None = None
) -> None:
    pixels, theirs, direction = by_simpleitk(source)
    found, ours, axes = by_simpleitk(written)
    np.testing.assert_array_equal(np.squeeze(found), np.squeeze(pixels))
    np.testing.assert_allclose(ours, spacing or theirs[: len(ours)], rtol=1e-6)
    np.testing.assert_allclose(axes, np.eye(len(ours)).ravel(), atol=1e-12)
    assert direction == tuple(np.eye(len(theirs)).ravel())


@pytest.mark.parametrize("suffix", WORLD)
@pytest.mark.parametrize("kind", ["png", "png-dpi", "tiff-none", "tiff-inch", "tiff-cm", "stack"])
def test_pictures_have_the_axes_and_spacing_that_simpleitk_reads(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    source = tmp_path / f"a{'.png' if kind.startswith('png') else '.tif'}"
    told: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
    if kind.startswith("png"):
        options: dict[str, Any] = {"dpi": (127, 254)} if kind == "png-dpi" else {}
        Image.fromarray(PIXELS).save(source, **options)
    elif kind == "stack":
        pages = np.stack([PIXELS, PIXELS + 1, PIXELS + 2])
        tifffile.imwrite(source, pages, resolution=(20, 40), resolutionunit=3, **told)
    else:
        unit = {"tiff-none": 1, "tiff-inch": 2, "tiff-cm": 3}[kind]
        tifffile.imwrite(source, PIXELS, resolution=(20, 40), resolutionunit=unit, **told)
    io.write(io.read(source), tmp_path / f"b{suffix}")
    assert_same_world(tmp_path / f"b{suffix}", source)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_sizes_that_simpleitk_does_not_read(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "a.tif"
    pages = np.stack([PIXELS, PIXELS + 1, PIXELS + 2])
    told = {"spacing": 2.5, "unit": "mm", "axes": "ZYX"}
    tifffile.imwrite(source, pages, imagej=True, resolution=(2, 4), metadata=told)
    io.write(io.read(source), tmp_path / f"b{suffix}")
    assert_same_world(tmp_path / f"b{suffix}", source, (0.5, 0.25, 2.5))


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_images_come_back_as_the_pictures_that_they_were(tmp_path: Path, suffix: str) -> None:
    for name in ("a.png", "a.tif"):
        Image.fromarray(PIXELS).save(tmp_path / name, dpi=(127, 254))
        io.write(io.read(tmp_path / name), tmp_path / f"b{suffix}", overwrite=True)
        io.write(io.read(tmp_path / f"b{suffix}"), tmp_path / f"c-{name}")
        np.testing.assert_array_equal(io.read(tmp_path / f"c-{name}").voxels, PIXELS)
    with Image.open(tmp_path / "c-a.tif") as image:
        assert image.info["dpi"] == pytest.approx((127, 254), rel=1e-5)


@pytest.mark.parametrize("name", ["a.tif", "slices/"])
def test_slices_of_a_volume_are_those_that_simpleitk_shows(tmp_path: Path, name: str) -> None:
    voxels = np.arange(4 * 6 * 3, dtype="u2").reshape(4, 6, 3)
    io.write(Volume(voxels, OBLIQUE), tmp_path / "a.nii")
    io.write(io.read(tmp_path / "a.nii"), f"{tmp_path}/{name}")
    shown = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii")))  # slice, row, column
    np.testing.assert_array_equal(io.read(f"{tmp_path}/{name}").voxels, shown.transpose(1, 2, 0))


def test_a_volume_of_one_slice(tmp_path: Path) -> None:
    volume = Volume(PIXELS[..., None], np.diag([0.5, 0.25, 3, 1]))
    io.write(volume, tmp_path / "a.png")
    np.testing.assert_array_equal(io.read(tmp_path / "a.png").voxels, PIXELS.T)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["dpi"] == pytest.approx((50.8, 101.6), rel=1e-4)
    io.write(volume, f"{tmp_path / 'out'}/")
    assert io.read(tmp_path / "out").shape == (4, 6, 1)


def test_arrays_have_no_world(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    for name in ("b.nii", "b.nrrd", "b.png", "b.tif"):
        io.write(io.read(tmp_path / "a.npy"), tmp_path / name)
    np.testing.assert_array_equal(io.read(tmp_path / "b.nii").voxels, PIXELS)
    np.testing.assert_array_equal(io.read(tmp_path / "b.nrrd").voxels, PIXELS)
    np.testing.assert_array_equal(io.read(tmp_path / "b.png").voxels, PIXELS)
    np.testing.assert_array_equal(io.read(tmp_path / "b.tif").voxels, PIXELS)


def test_frames_of_length_one_are_no_axis_elsewhere(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype="i2").reshape(4, 3, 2, 1)
    io.write(Volume(voxels, np.eye(4)), tmp_path / "a.nii")
    for suffix in (".nrrd", ".mha"):
        io.write(io.read(tmp_path / "a.nii"), tmp_path / f"a{suffix}")
        size = sitk.ReadImage(str(tmp_path / f"a{suffix}")).GetSize()
        assert size == sitk.ReadImage(str(tmp_path / "a.nii")).GetSize() == (4, 3, 2)


def test_a_header_of_before_is_read_as_ever(tmp_path: Path) -> None:
    """Headers as files of earlier builds hold them."""
    for name, raw in (("png", b'{"dpi":[127.0,254.0]}'), ("tiff", b'{"dpi":[127.0,254.0]}')):
        volume = Volume(PIXELS, None, SourceHeader(name, raw))
        io.write(volume, tmp_path / f"a.{name[:4]}")
        assert io.read(tmp_path / f"a.{name[:4]}").source == volume.source
