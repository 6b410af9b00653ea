"""Peers of registration: each recovers what was done to a phantom; the yardstick is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmarks.registration.convex_adam import ConvexAdam, coupled_convex
from benchmarks.registration.idir import Idir
from benchmarks.registration.method import Unregistered
from benchmarks.registration.mind import mind_ssc
from benchmarks.registration.pairs import Scan, studies
from benchmarks.registration.unet import UNet, exponential, local_correlation, warp
from benchmarks.registration.warp import (
    affine_warp,
    centred,
    composed,
    folding_percent,
    grid,
    packed,
    warp_image,
    warp_labels,
)

SHIFT = np.array([2.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def pair() -> tuple[Scan, Scan]:
    """Moving and fixed: blurred noise, and the same content SHIFT voxels further on."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(30, 28, 26)), 2)
    noise = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    labels = (noise > np.quantile(noise, 0.9)).astype(np.uint8)
    coordinates = grid((30, 28, 26)) - SHIFT
    moving, fixed = noise, warp_image(noise, coordinates)
    return (
        Scan("moving", moving, labels, np.eye(4)),
        Scan("fixed", fixed, warp_labels(labels, coordinates), np.eye(4)),
    )


def inside(values: np.ndarray) -> np.ndarray:
    return values[6:-6, 6:-6, 6:-6]


def test_identity_leaves_labels_and_folds_nowhere(pair: tuple[Scan, Scan]) -> None:
    scan = pair[0]
    warp_ = Unregistered().register(scan, scan)
    assert np.array_equal(warp_labels(scan.labels, warp_.coordinates), scan.labels)
    assert np.allclose(warp_image(scan.voxels, warp_.coordinates), scan.voxels)
    assert folding_percent(warp_.coordinates, scan, scan) == 0
    assert warp_.nbytes is None


def test_mirrored_headers_are_not_folding(pair: tuple[Scan, Scan]) -> None:
    moving, fixed = pair
    mirrored = Scan("mirrored", moving.voxels[::-1], moving.labels[::-1], np.diag([-1.0, 1, 1, 1]))
    coordinates = affine_warp(centred(mirrored, fixed), fixed.shape).coordinates
    assert np.array_equal(warp_labels(mirrored.labels, coordinates), moving.labels)
    assert folding_percent(coordinates, mirrored, fixed) == 0
    assert folding_percent(coordinates, moving, fixed) == 100


def test_folding_is_counted(pair: tuple[Scan, Scan]) -> None:
    coordinates = grid((30, 28, 26))
    coordinates[10:20, ..., 0] = coordinates[10:20, ..., 0][::-1]
    found = folding_percent(coordinates, *pair)
    assert 100 * 8 / 30 <= found <= 100 * 12 / 30


def test_stored_bytes_grow_with_content() -> None:
    smooth = np.zeros((20, 20, 20, 3))
    rough = np.random.default_rng(0).normal(size=smooth.shape)
    assert packed(smooth) < 200 < packed(rough)


def test_affine_comes_after_the_displacement() -> None:
    matrix = np.diag([2.0, 1.0, 1.0, 1.0])
    displacement = np.zeros((4, 4, 4, 3))
    displacement[..., 0] = 0.5
    found = composed(matrix, displacement, displacement)
    assert np.allclose(found.coordinates[1, 2, 3], (3, 2, 3))


def test_mind_sees_structure_and_not_contrast(pair: tuple[Scan, Scan]) -> None:
    image = torch.from_numpy(pair[0].voxels)[None, None]
    features = mind_ssc(image, 1, 1)
    assert features.shape == (1, 12, *image.shape[2:])
    assert torch.allclose(features, mind_ssc(5 - 3 * image, 1, 1), atol=1e-4)
    assert features.std() > 0.1


def test_the_convex_step_finds_a_shift_by_whole_voxels(pair: tuple[Scan, Scan]) -> None:
    moving, fixed = (mind_ssc(torch.from_numpy(s.voxels)[None, None], 1, 1) for s in pair)
    found = coupled_convex(moving, fixed, (2, 2, 2))[0].movedim(0, -1).numpy()
    assert np.allclose(np.median(inside(found), axis=(0, 1, 2)), -SHIFT)


def test_convex_adam_recovers_a_shift(pair: tuple[Scan, Scan]) -> None:
    moving, fixed = pair
    found = (
        ConvexAdam(Unregistered())
        .displacement(moving.voxels, fixed.voxels)[0]
        .movedim(0, -1)
        .numpy()
    )
    missed = np.abs(found[3:-3, 3:-3, 3:-3] + SHIFT)
    assert missed.mean() < 0.15


def test_idir_makes_images_alike(pair: tuple[Scan, Scan]) -> None:
    moving, fixed = pair
    method = Idir(Unregistered(), width=32, points=500, steps=60, rate=2e-3)
    layers = method.fit(moving.voxels, fixed.voxels)
    moved = grid(fixed.shape) + method.displacement(layers, fixed.shape)
    before = np.corrcoef(inside(moving.voxels).ravel(), inside(fixed.voxels).ravel())[0, 1]
    after = np.corrcoef(
        inside(warp_image(moving.voxels, moved)).ravel(), inside(fixed.voxels).ravel()
    )[0, 1]
    assert after > 0.95 > before


def test_exponential_is_undone_by_the_negative_velocity() -> None:
    torch.manual_seed(0)
    velocity = torch.nn.functional.interpolate(torch.randn(1, 3, 4, 4, 4), size=(16, 16, 16))
    velocity = torch.nn.functional.avg_pool3d(velocity, 5, 1, 2)
    there, back = exponential(velocity), exponential(-velocity)
    round_trip = there + warp(back, there)
    assert round_trip[..., 4:-4, 4:-4, 4:-4].abs().mean() < 0.1 * there.abs().mean()


def test_the_network_begins_near_the_identity() -> None:
    torch.manual_seed(0)
    network = UNet((2, 2, 1))
    images = torch.rand(2, 1, 1, 16, 16, 5)
    assert network(images[0], images[1]).abs().max() < 0.1


def test_local_correlation_knows_no_contrast() -> None:
    torch.manual_seed(0)
    a = torch.rand(1, 1, 12, 12, 12)
    assert local_correlation(a, 3 - 2 * a, (5, 5, 5)) > 0.99
    assert local_correlation(a, torch.rand_like(a), (5, 5, 5)) < 0.1


def test_pairs_keep_training_and_test_apart() -> None:
    for study in studies().values():
        seen = {name for pair in study.pairs for name in pair}
        assert len(study.pairs) == 15
        assert all(moving != fixed for moving, fixed in study.pairs)
        assert not seen & set(study.training)
