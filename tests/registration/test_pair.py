"""Any two scans are registered: affine differences first, then the rest, both ways."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from anatomy import anatomy, deformed

from deepstd.errors import InputError
from deepstd.registration import pair
from deepstd.registration.cycle import CycleFields, CycleSettings
from deepstd.registration.pair import PairSettings, register_pair
from deepstd.registration.transform import Grid

AFFINE_ONLY = PairSettings(affine_only=True)


def turned(degrees: float, spacing: float, origin: tuple[float, ...]) -> np.ndarray:
    """An oblique voxel-to-world matrix."""
    turn = np.radians(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, :3] *= spacing
    affine[:3, 3] = origin
    return affine


def grid_of(shape: tuple[int, ...]) -> np.ndarray:
    """(ndim, *shape) in −1 … 1 along the first axis."""
    axes = [(2 * np.arange(n) + 1 - n) / shape[0] for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def textured(t: np.ndarray) -> np.ndarray:
    """An anatomy with enough inside to tell every place from the next."""
    return anatomy(t) + 0.4 * np.sin(7 * t).prod(0) + 0.2 * np.sin(5 * t).sum(0)


def lopsided(x: np.ndarray) -> np.ndarray:
    """Three blobs of different sizes that lie well in one way only."""
    blobs = ((0.5, 0.3, 0.25, 1.0), (-0.4, 0.4, 0.15, 2.0), (-0.2, -0.5, 0.3, -1.5))
    return sum(h * np.exp(-((x[0] - a) ** 2 + (x[1] - b) ** 2) / s**2) for a, b, s, h in blobs) + (
        0.3 * x[-1]
    )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("shape", [(48, 40), (30, 26, 22)])
def test_an_affine_difference_is_found(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = grid_of(shape)
    ndim = len(shape)
    matrix = np.eye(ndim) + rng.uniform(-0.12, 0.12, (ndim, ndim))
    shift = rng.uniform(-0.1, 0.1, ndim).reshape(-1, *[1] * ndim)
    fixed = anatomy(x)
    moving = 500 + 80 * anatomy(np.tensordot(matrix, x, 1) + shift)
    # Grey values of another scale are no hindrance.
    transform, report = register_pair(moving, None, fixed, None, AFFINE_ONLY)
    found = transform.displacement()[:ndim]
    half = shape[0] / 2
    true = np.tensordot(np.linalg.inv(matrix), x - shift, 1)
    error = np.linalg.norm(found - (true - x) * half, axis=0)[np.linalg.norm(x, axis=0) < 0.7]
    assert error.mean() < 0.6
    assert report.ncc_affine > max(0.99, report.ncc_before)
    assert report.omega is None


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_scan_whose_orientation_is_lost_is_turned_by_quarters(quarters: int) -> None:
    shape = (44, 36, 10)
    fixed = lopsided(grid_of(shape))
    moving = np.rot90(fixed, quarters)
    _, report = register_pair(moving, None, fixed, None, AFFINE_ONLY)
    assert report.ncc_affine > 0.97


def test_fields_find_what_affine_leaves_and_lead_back() -> None:
    shape = (30, 26, 22)
    x = grid_of(shape)
    there = deformed(x, np.random.default_rng(5), 0.05)
    fixed, moving = textured(there), 30 * textured(x) + 7
    transform, report = register_pair(moving, None, fixed, None)
    body = np.linalg.norm(there, axis=0) < 0.75
    true = (there - x) * shape[0] / 2
    error = np.linalg.norm(transform.displacement() - true, axis=0)[body].mean()
    assert error < 0.4 * np.linalg.norm(true, axis=0)[body].mean()
    assert report.ncc_after > report.ncc_affine > report.ncc_before
    assert report.cycle_error_voxels < 1
    assert report.folding_percent < 0.1
    again = transform.warp_back(transform.warp(moving))
    inside = np.linalg.norm(x, axis=0) < 0.6
    assert np.corrcoef(again[inside], moving[inside])[0, 1] > 0.97


def test_size_spacing_orientation_and_padding_may_differ() -> None:
    fixed_shape, moving_shape = (30, 26, 22), (40, 40, 30)
    fixed_grid = Grid(fixed_shape, turned(0, 2.0, (10, -5, 3)))
    moving_grid = Grid(moving_shape, turned(25, 1.8, (-300, 40, 8)))
    centre = fixed_grid.world(fixed_grid.centre)

    def scan(grid: Grid, about: np.ndarray) -> np.ndarray:
        index = np.moveaxis(np.indices(grid.shape).astype(float), 0, -1)
        return anatomy(np.moveaxis((grid.world(index) - about) / 30, -1, 0))

    # The moving world lies elsewhere, and its scan ends within the body.
    away = moving_grid.world(moving_grid.centre) + np.array([6.0, -4.0, 2.0])
    fixed, moving = scan(fixed_grid, centre), scan(moving_grid, away)
    moving[:3] = np.nan
    transform, report = register_pair(
        moving, moving_grid.affine, fixed, fixed_grid.affine, AFFINE_ONLY
    )
    error = transform.displacement() - (away - centre).reshape(3, 1, 1, 1)
    assert np.linalg.norm(error, axis=0).mean() < 1.0
    assert report.ncc_affine > 0.98


def test_labels_keep_their_values_and_images_their_type() -> None:
    x = grid_of((40, 36))
    moving = np.rint(1000 * anatomy(x)).astype(np.int16)
    labels = (np.linalg.norm(x, axis=0) < 0.6) * np.uint8(200)
    transform, _ = register_pair(moving, None, moving, None, AFFINE_ONLY)
    assert transform.warp(moving).dtype == np.int16
    assert set(np.unique(transform.warp(labels, nearest=True))) == {0, 200}
    assert (transform.warp(labels, nearest=True) == labels).mean() > 0.99
    with pytest.raises(InputError, match="expected"):
        transform.warp(labels[1:])


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("omegas", [(10, 5), (5, 10)])
def test_lowering_omega_keeps_the_best(joint: bool, omegas: tuple[int, ...]) -> None:
    scans = np.random.default_rng(0).normal(size=(2, 24, 24))

    def fitted(omegas: tuple[int, ...]) -> CycleFields:
        cycle = CycleSettings(steps=4, points=200, threshold=-2.0, omegas=omegas, joint=joint)
        transform, report = register_pair(scans[0], None, scans[1], None, PairSettings(cycle))
        assert transform.fields is not None
        assert transform.fields.omega == report.omega
        return transform.fields

    alone = [fitted((omega,)) for omega in omegas]
    assert alone[0].loss != alone[1].loss
    together = fitted(omegas)
    better = min(alone, key=lambda fields: fields.loss)
    assert together.loss == pytest.approx(better.loss, abs=1e-3)
    assert together.omega == better.omega


def test_voxels_of_a_size_asked_for_are_compared_whatever_the_scan() -> None:
    scan = np.random.default_rng(0).normal(size=(300, 20))
    cycle = CycleSettings(steps=1, points=50, omegas=(5,))
    with mock.patch.object(pair, "view_of", wraps=pair.view_of) as viewed:
        for coarser in (None, 1, 4):
            register_pair(scan, None, scan, None, PairSettings(cycle, coarser))
    sizes = [call.args[-1] for call in viewed.call_args_list[::2]]
    assert np.divide(sizes, sizes[1]).round(3).tolist() == [3.0, 1.0, 4.0]


def test_a_scan_of_one_value_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to register"):
        register_pair(np.zeros((9, 9)), None, np.eye(9), None)


def test_scans_that_overlap_where_one_has_no_contrast_are_registered() -> None:
    """By their headers a gradient lies in the empty part of a scan."""
    random = np.random.default_rng(0)
    moving = np.full((28, 28, 20), -1024.0)
    moving[:6, :6, :6] = 200 * random.normal(size=(6, 6, 6))
    fixed = np.indices((8, 9, 8)).sum(0) + random.normal(size=(8, 9, 8))
    there = np.eye(4)
    there[:3, 3] = 15, 15, 9
    _, report = register_pair(moving, np.eye(4), fixed, there, PairSettings(affine_only=True))
    assert np.isfinite(report.ncc_after)


def test_scans_that_do_not_overlap_by_their_headers_are_registered_without_a_warning() -> None:
    random = np.random.default_rng(0)
    moving, fixed = (np.indices((9, 8, 7)).sum(0) + random.normal(size=(9, 8, 7)) for _ in range(2))
    far = np.eye(4)
    far[:3, 3] = 500
    settings = PairSettings(affine_only=True)
    _, report = register_pair(moving, np.eye(4), fixed, far, settings)
    assert report.ncc_affine > 0.9
