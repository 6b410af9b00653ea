"""OME-Zarr pyramids: values, positions, metadata, and what other programs make of them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd.cli.app import main
from deepstd.errors import InputError, OutputExistsError

zarr = pytest.importorskip("zarr", "3.1", reason="needs zarr-python: pip install 'deepstd[zarr]'")

from zarr.registry import register_codec  # noqa: E402

from deepstd.zarr import DeepSTDCodec, write_ome_zarr  # noqa: E402

register_codec("deepstd", DeepSTDCodec)
Phantom = Callable[..., np.ndarray]
AFFINE = np.array([[0, -0.8, 0, 30], [0.7, 0, 0, -20], [0, 0, 1.5, 4], [0, 0, 0, 1.0]])


def blob(shape: tuple[int, ...], centre: tuple[float, ...]) -> np.ndarray:
    """A smooth ball of 1000 in the voxel coordinates of its centre."""
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij")
    squares = sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True))
    return np.rint(1000 * np.exp(-squares / (2 * 6.0**2))).astype(np.int16)


def centre_of(values: np.ndarray, transforms: list[dict[str, Any]]) -> np.ndarray:
    """Centre of mass in the units of the metadata."""
    weights = np.maximum(values.astype(np.float64), 0)
    axes = np.meshgrid(*map(np.arange, values.shape), indexing="ij")
    mean = np.array([(axis * weights).sum() / weights.sum() for axis in axes])
    return mean * transforms[0]["scale"] + transforms[1]["translation"]


@pytest.mark.usefixtures("only_tiny")
@pytest.mark.parametrize("way", [{"ratio": 6}, {"lossless": True}], ids=["wavelet", "exact"])
def test_levels_lie_where_the_scan_lies(tmp_path: Path, way: dict[str, Any]) -> None:
    at = (21.3, 23.6, 19.2)
    deepstd.compress(blob((44, 48, 40), at), tmp_path / "a.dstd", affine=AFFINE, **way)
    levels = write_ome_zarr(tmp_path / "a.dstd", tmp_path / "a.ome.zarr", chunk=16)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r", zarr_format=3)
    (image,) = group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["z", "y", "x"]
    assert all(axis["unit"] == "millimeter" for axis in image["axes"])
    assert len(levels) == len(image["datasets"]) == 3
    # Along the scan's axes, which point to +y, -x and +z of the world.
    world = AFFINE @ [*at, 1.0]
    true = np.array([world[2], -world[0], world[1]])
    for number, data in enumerate(image["datasets"]):
        array = group[data["path"]]
        restored = deepstd.decompress(tmp_path / "a.dstd", level=number).voxels
        np.testing.assert_array_equal(array[...], restored.T)
        assert array.metadata.dimension_names == ("z", "y", "x")
        transforms = data["coordinateTransformations"]
        np.testing.assert_allclose(transforms[0]["scale"], np.array([1.5, 0.8, 0.7]) * 2**number)
        # Pyramids of averages would lie 0.25 and 0.75 mm or more off without a shift.
        np.testing.assert_allclose(centre_of(array[...], transforms), true, atol=0.12)
    np.testing.assert_allclose(group.attrs["deepstd"]["affine"], AFFINE)


def test_frames_and_their_times(tmp_path: Path, phantom: Phantom) -> None:
    image = nibabel.Nifti1Image(phantom((20, 18, 12, 3)), np.diag([2.0, 2, 3, 1]))
    image.header.set_zooms((2, 2, 3, 1500))
    image.header.set_xyzt_units("mm", "msec")
    nibabel.save(image, tmp_path / "bold.nii.gz")
    deepstd.compress(tmp_path / "bold.nii.gz", tmp_path / "bold.dstd", lossless=True)
    (whole, half) = write_ome_zarr(tmp_path / "bold.dstd", tmp_path / "bold.zarr", chunk=12)
    assert (whole.shape, whole.scale) == ((3, 12, 18, 20), (1.5, 3, 2, 2))
    assert (half.shape, half.scale) == ((3, 6, 9, 10), (1.5, 6, 4, 4))
    group = zarr.open_group(tmp_path / "bold.zarr", mode="r")
    axes = group.attrs["ome"]["multiscales"][0]["axes"]
    assert axes[0] == {"name": "t", "type": "time", "unit": "second"}
    np.testing.assert_array_equal(group["0"][...], np.asarray(image.dataobj).T)
    assert group["0"].chunks == (1, 12, 12, 12)


def test_an_image_without_geometry_has_no_units(tmp_path: Path, phantom: Phantom) -> None:
    deepstd.compress(phantom((50, 31), "uint8"), tmp_path / "x.dstd", lossless=True)
    levels = write_ome_zarr(tmp_path / "x.dstd", tmp_path / "x.zarr", chunk=16)
    assert [level.shape for level in levels] == [(31, 50), (16, 25), (8, 13)]
    assert [level.scale for level in levels] == [(1, 1), (2, 2), (4, 4)]
    described = json.loads((tmp_path / "x.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    axes = described["multiscales"][0]["axes"]
    assert axes == [{"name": name, "type": "space"} for name in "yx"]


def test_chunks_by_the_codec(tmp_path: Path, phantom: Phantom) -> None:
    values = phantom((40, 36, 20))
    deepstd.compress(values, tmp_path / "x.dstd", lossless=True)
    levels = write_ome_zarr(
        tmp_path / "x.dstd", tmp_path / "x.zarr", codec=DeepSTDCodec(max_error=2), chunk=32
    )
    assert len(levels) == 2
    array = zarr.open_array(tmp_path / "x.zarr" / "0", mode="r")
    assert array.metadata.to_dict()["codecs"][0]["configuration"] == {"max_error": 2.0}
    assert 0 < np.abs(array[...].T.astype(int) - values).max() <= 2


def test_nothing_is_lost(tmp_path: Path, phantom: Phantom) -> None:
    source, output = tmp_path / "x.dstd", tmp_path / "x.zarr"
    deepstd.compress(phantom((20, 20)), source, lossless=True)
    write_ome_zarr(source, output)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputExistsError):
        write_ome_zarr(source, output)
    source.write_bytes(source.read_bytes()[:-20])
    with pytest.raises(deepstd.ContainerError):
        write_ome_zarr(source, output, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    for place, why in ((mine, "something else"), ("https://a.b/c", "local"), (source, "input")):
        with pytest.raises(InputError, match=why):
            write_ome_zarr(source, place, overwrite=True)
    assert (mine / "letter.txt").read_text() == "mine"


def test_command(tmp_path: Path, phantom: Phantom, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = str(tmp_path / "x.dstd"), str(tmp_path / "x.ome.zarr")
    deepstd.compress(phantom((40, 30, 20)), source, lossless=True)
    assert main(["ome-zarr", source, "-o", output, "--chunk", "16", "--lossless"]) == 0
    assert "1: 10 x 15 x 20, spacing 2 x 2 x 2" in capsys.readouterr().out
    assert main(["ome-zarr", source, "-o", output]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["ome-zarr", source, "-o", output, "--lossless", "--ratio", "4"]) == 2
    assert main(["ome-zarr", source, "-o", output, "--chunk", "3", "--overwrite"]) == 1
    assert main(["ome-zarr", str(tmp_path / "no.dstd"), "-o", output, "--overwrite"]) == 1
    assert "no.dstd" in capsys.readouterr().err


def test_independent_readers_agree(tmp_path: Path, phantom: Phantom) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their dependencies, at import
        reader = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr from PyPI")
        models = pytest.importorskip("ome_zarr_models.v05", reason="needs ome-zarr-models")
    values = phantom((40, 36, 20))
    deepstd.compress(values, tmp_path / "x.dstd", affine=AFFINE, lossless=True)
    levels = write_ome_zarr(tmp_path / "x.dstd", tmp_path / "x.ome.zarr", chunk=16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = reader.from_ngff_zarr(str(tmp_path / "x.ome.zarr"), validate=True)
        group = zarr.open_group(tmp_path / "x.ome.zarr", mode="r")
        assert models.Image.from_zarr(group).attributes.ome.version == "0.5"
    for level, image in zip(levels, found.images, strict=True):
        assert image.data.shape == level.shape
        assert tuple(image.scale[axis] for axis in "zyx") == level.scale
        assert tuple(image.translation[axis] for axis in "zyx") == level.translation
    np.testing.assert_array_equal(np.asarray(found.images[0].data), values.T)
