"""The guard: scans unlike those of their bundle are said to be, with the measure and the place."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from textures import smooth

import deepstd
from deepstd import Volume, io
from deepstd import bundle as bundles
from deepstd.bundle.familiarity import NAME, load_familiarity
from deepstd.codec.codec import Codec
from deepstd.codec.compressed import Compressed
from deepstd.codec.fit import UPRIGHT
from deepstd.codec.protection import NOT_PROTECTED, Protection
from deepstd.codec.regions import largest_error
from deepstd.codec.spots import SPOT
from deepstd.container import parse
from deepstd.errors import BundleError, InputError
from deepstd.rate.target import Target

SCAN = "hippocampus-t1/images/hippocampus_037.nii.gz"  # of a test patient


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load("hippocampus-t1", device="cpu")


@pytest.fixture
def crop(data_dir: Path) -> Volume:
    return io.read(data_dir / SCAN)


def encoded(codec: Codec, volume: Volume, ratio: float = 16) -> Compressed:
    return codec.encode(volume, Target(ratio=ratio), effort="fast")


def test_a_scan_of_the_study_is_familiar(codec: Codec, crop: Volume) -> None:
    found = encoded(codec, crop)
    assert found.familiarity is not None
    assert found.familiarity.judged
    assert not found.familiarity.unfamiliar
    assert not any("unlike" in note for note in found.notes)


def test_an_inverted_scan_is_noted_in_file_and_report(codec: Codec, crop: Volume) -> None:
    volume = crop
    inverted = Volume(volume.voxels.max() - volume.voxels, volume.affine)
    target = Target(ratio=16)
    found = codec.encode(inverted, target, effort="fast")
    assert found.familiarity is not None
    assert found.familiarity.unfamiliar
    names = [one.measure for one in found.familiarity.findings]
    assert "correlation with the template" in names
    assert any(note.startswith("unlike the scans of hippocampus-t1") for note in found.notes)
    kept = parse(found.data, "the file").notes
    assert any(note.startswith("unlike the scans of hippocampus-t1") for note in kept)
    assert len(found.data) <= target.bytes_for(inverted.voxels.size, inverted.nbytes)


def test_a_turned_image_is_noted(data_dir: Path) -> None:
    name = "chest-xray/images/00001303_001.png"  # of a test patient
    volume = io.read(data_dir / name)
    turned = Volume(np.ascontiguousarray(np.rot90(volume.voxels)), volume.affine)
    known = Codec.load("chest-xray", device="cpu")
    told = known.encode(turned, Target(ratio=64), effort="fast").familiarity
    assert told is not None
    assert UPRIGHT.name in [one.measure for one in told.findings]


def test_a_large_bright_lesion_is_found_with_its_place(codec: Codec, crop: Volume) -> None:
    volume = crop
    centre = [n // 2 for n in volume.shape]
    distance = np.sqrt(
        sum((g - c) ** 2 for g, c in zip(np.indices(volume.shape), centre, strict=True))
    )
    voxels = volume.voxels.astype(np.float32)
    voxels[distance <= 5] += 2 * (voxels.max() - voxels.min())
    found = encoded(codec, Volume(voxels, volume.affine))
    assert found.familiarity is not None
    region = found.familiarity.unexplained
    assert region is not None
    assert region.world_mm is not None
    assert SPOT.name in [one.measure for one in found.familiarity.findings]
    assert any(f"at {region.place}" in note for note in found.notes)
    assert volume.affine is not None
    assert np.linalg.norm(np.subtract(region.voxel, centre)) < 6
    place = volume.affine[:3, :3] @ region.voxel + volume.affine[:3, 3]
    assert np.allclose(place, region.world_mm)


def test_the_largest_error_is_found_with_its_place() -> None:
    random = np.random.default_rng(3)
    original = random.normal(100, 10, (40, 36, 32))
    restored = original + random.normal(0, 1, original.shape)
    restored[20:28, 12:20, 8:16] += random.normal(0, 6, (8, 8, 8))
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    found = largest_error(original, restored, affine)
    assert found is not None
    assert found.excess > 3
    assert np.abs(np.subtract(found.voxel, (23.5, 15.5, 11.5))).max() <= 4
    assert found.world_mm == tuple(np.multiply(found.voxel, (2.0, 2.0, 3.0)))
    assert largest_error(original, original, affine) is None


def test_the_worst_frame_is_named() -> None:
    original = np.zeros((16, 16, 8, 3))
    restored = original + 1
    restored[4:8, 4:8, 4:8, 2] += 5
    found = largest_error(original, restored, None)
    assert found is not None
    assert found.world_mm is None
    assert found.voxel[3] == 2
    assert len(found.size) == 3


def test_embedded_bundles_have_statistics() -> None:
    for folder in bundles.folders()[0].iterdir():
        found = load_familiarity(folder)
        assert found is not None, folder.name
        assert bool(found.measures) == (bundles.load(folder).manifest.shape is not None)


def test_a_bundle_without_statistics_judges_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundles.find("generic"), copy)
    (copy / NAME).unlink()
    ramp = np.add.outer(np.arange(64), np.arange(48)).astype(np.int16)
    found = encoded(Codec.load(str(copy), device="cpu"), Volume(ramp), 4)
    assert found.familiarity is not None
    assert not found.familiarity.judged


def test_damaged_statistics_are_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"measures": {"x": 3}}')
    with pytest.raises(BundleError, match="remove this file"):
        load_familiarity(tmp_path)


def with_lesion(volume: Volume, radius: float) -> tuple[Volume, np.ndarray]:
    """Return a scan with a bright ball, and the mask of the ball."""
    centre = [n // 2 for n in volume.shape]
    grid = np.indices(volume.shape)
    distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
    voxels = volume.voxels.astype(np.float32)
    voxels[distance <= radius] += np.ptp(voxels)
    return Volume(voxels, volume.affine), distance <= radius


def ratio_of(volume: Volume, restored: np.ndarray, mask: np.ndarray) -> float:
    error = np.square(restored.astype(float) - volume.voxels)
    return float(np.sqrt(error[mask].mean() / error[~mask].mean()))


@pytest.mark.parametrize("given", [True, False], ids=["a mask", "found"])
def test_protected_regions_have_the_fidelity_of_the_rest(
    codec: Codec, given: bool, crop: Volume
) -> None:
    volume, mask = with_lesion(crop, 3)
    target = Target(ratio=32)
    plain = codec.encode(volume, target, effort="fast")
    wish = Protection(mask if given else None)
    found = codec.encode(volume, target, effort="fast", protect=wish)
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    assert 0.99 * allowed <= len(found.data) <= allowed
    before = ratio_of(volume, codec.decompress(plain.data).voxels, mask)
    after = ratio_of(volume, codec.decompress(found.data).voxels, mask)
    assert after < (1.1 if given else 0.5 * before)
    assert found.familiarity is not None
    assert found.familiarity.protected is not None
    assert found.familiarity.protected.ratio <= found.familiarity.protected.ratio_before


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="on the scan's grid"):
        Protection.of(np.ones((3, 4), bool), (4, 4))


def test_protection_needs_a_size(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(64), np.arange(48)).astype(np.int16)
    with pytest.raises(InputError, match="need a size"):
        deepstd.compress(ramp, tmp_path / "x.dstd", lossless=True, protect=True)


@pytest.mark.parametrize("marked", [False, True], ids=["no region", "a region"])
@pytest.mark.parametrize("shape", [(64, 60, 10), (40, 36, 24, 2), (150, 140, 12)])
def test_protection_keeps_the_size(shape: tuple[int, ...], marked: bool) -> None:
    """Slices, frames and tiles: also where nothing is there to protect."""
    values = np.stack([smooth(shape[:2], n) for n in range(shape[2])], -1)
    if len(shape) == 4:
        values = np.stack([values, values[::-1]], -1)
    noise = np.random.default_rng(0).normal(size=shape)
    spacing = 6.0 if shape[2] == 10 else 1.0
    volume = Volume(np.rint(values + 2 * noise).astype(np.int16), np.diag([1.0, 1.0, spacing, 1.0]))
    mask = np.zeros(shape, bool)
    mask[20:30, 20:30, 4:8] = marked
    generic, target = Codec.load("generic", device="cpu"), Target(bpv=0.4)
    wish = Protection.of(mask, shape)
    found = generic.encode(volume, target, effort="fast", protect=wish)
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    assert 0.99 * allowed <= len(found.data) <= allowed
    assert found.familiarity is not None
    assert (found.familiarity.protected is not None) == marked
    assert (NOT_PROTECTED in found.notes) == (not marked)
    assert generic.decompress(found.data).voxels.shape == shape
