"""Label maps are recognised, and come back exactly at every size that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd import io
from deepstd.codec import labels, without_bundle
from deepstd.progress import Progress
from deepstd.rate.target import Target
from deepstd.volume import Volume

MAPS = (
    "hippocampus-t1/labels/hippocampus_001.nii.gz",
    "headneck-ct/labels/pt_10.nii.gz",
    "cardiac-cine/labels/patient001_frame01.nii.gz",
    "samples/ct-abdomen-3mm-organs.nii.gz",
    "samples/brain1_label.nrrd",
)
SCANS = (
    "hippocampus-t1/images/hippocampus_001.nii.gz",
    "headneck-ct/images/pt_10.nii.gz",
    "cardiac-cine/images/patient001_frame01.nii.gz",
    "samples/ct-abdomen-3mm.nii.gz",
    "samples/brain1_image.nrrd",
    "chest-xray/images/00001303_001.png",
)


@pytest.fixture
def organs() -> np.ndarray:
    """Three regions with smooth borders, uint8, (40, 36, 20)."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 36, 20)], indexing="ij")
    distance = np.sqrt(sum(np.square(x) for x in axes))
    return np.digitize(distance, [0.3, 0.6, 0.9]).astype(np.uint8)


@pytest.mark.parametrize("name", MAPS)
def test_real_maps_are_exact_and_small(data_dir: Path, tmp_path: Path, name: str) -> None:
    source = data_dir / name
    voxels = io.read(source).voxels
    assert labels.look_like(voxels)
    report = deepstd.compress(source, tmp_path / "map.dstd", ratio=32)
    np.testing.assert_array_equal(deepstd.decompress(tmp_path / "map.dstd").voxels, voxels)
    assert report.max_error == 0
    assert report.file_bytes < source.stat().st_size


@pytest.mark.parametrize("name", SCANS)
def test_scans_are_no_maps(data_dir: Path, name: str) -> None:
    volume = io.read(data_dir / name)
    assert not labels.are_declared(volume)
    assert not labels.look_like(volume.voxels)


def test_what_is_declared_is_exact_at_any_size(tmp_path: Path, organs: np.ndarray) -> None:
    np.save(tmp_path / "sub-1_dseg.npy", organs)
    report = deepstd.compress(tmp_path / "sub-1_dseg.npy", tmp_path / "map.dstd", max_bytes=90)
    assert report.file_bytes > 90
    assert labels.NOTE in report.notes
    np.testing.assert_array_equal(deepstd.decompress(tmp_path / "map.dstd").voxels, organs)


def test_labels_may_be_floats_but_whole(organs: np.ndarray) -> None:
    declared = Volume(organs.astype(np.float32), labels=True)
    assert labels.are_declared(declared)
    for other in (0.5, np.nan, np.inf):
        voxels = declared.voxels.copy()
        voxels[3, 4, 5] = other
        assert not labels.are_declared(replace(declared, voxels=voxels))


def test_what_only_looks_like_a_map_is_exact_too(organs: np.ndarray) -> None:
    for size, told in ((10_000, False), (80, True)):
        found = without_bundle.encode(Volume(organs), Target(max_bytes=size), Progress())
        assert found is not None
        assert found.quality.max_error == 0
        assert (labels.NOTE in found.notes) == told


def test_masks_and_few_grey_values(phantom: Callable[..., np.ndarray], organs: np.ndarray) -> None:
    assert labels.look_like(phantom((30, 30, 30)) > 100)
    assert not labels.look_like(phantom((30, 30, 30), "uint8"))
    assert not labels.look_like(phantom((30, 30, 30)).astype(np.float32))
    assert not labels.look_like(np.full((9, 9), 3))
    noisy = np.random.default_rng(0).integers(0, 4, (40, 40)).astype(np.uint8)
    assert not labels.look_like(noisy)
    # A background does not make a map of grey values.
    masked = np.where(organs < 2, phantom(organs.shape, "uint8") | 1, 0)
    assert not labels.look_like(masked)


def test_a_small_declared_map_is_exact_where_no_file_is_as_small(
    tmp_path: Path, organs: np.ndarray
) -> None:
    image = nibabel.Nifti1Image(organs, np.diag([0.7, 0.8, 3.1, 1.0]))
    image.header["intent_code"] = 1002
    for name in ("map.nii.gz", "sub-1_dseg.nii"):
        nibabel.save(image, tmp_path / name)
        report = deepstd.compress(
            tmp_path / name, tmp_path / "map.dstd", ratio=5000, overwrite=True
        )
        assert labels.NOTE in report.notes
        assert report.lossless
    image.header["intent_code"] = 0
    nibabel.save(image, tmp_path / "scan.nii")
    assert io.outline(tmp_path / "sub-1_dseg.nii") != io.outline(tmp_path / "scan.nii")


def test_a_bound_of_the_error_changes_no_label(tmp_path: Path, organs: np.ndarray) -> None:
    report = deepstd.compress(organs, tmp_path / "map.dstd", max_error=1)
    assert report.lossless
    np.testing.assert_array_equal(deepstd.decompress(tmp_path / "map.dstd").voxels, organs)
