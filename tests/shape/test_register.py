"""Registration finds a known deformation, whatever the grey values, and says how well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import nibabel
import numpy as np
import pytest
import torch

from deepstd.coding.tables import parametric_tables
from deepstd.errors import InputError
from deepstd.geometry import COORDINATE_BITS, base_map
from deepstd.shape import (
    FieldCode,
    ShapeModel,
    register,
    register_all,
    template_coordinates,
    warp_template,
)
from deepstd.shape.codec import decode_field, encode_field
from deepstd.shape.fit import TRIAL_STEPS, HeadFit
from deepstd.train.template.build import build_shape_model, template_grid

Scan = tuple[np.ndarray, np.ndarray]
UNSEEN = range(100, 106)
LANDMARKS = [(0.0, 0.0), (0.3, 0.3), (-0.25, -0.25), (0.6, 0.0), (-0.6, 0.0), (0.0, 0.5)]


def explained(
    scan: np.ndarray, affine: np.ndarray | None, model: ShapeModel, code: FieldCode | None
) -> float:
    placement = base_map(scan.shape, affine, model.template.shape, model.affine)
    warped = warp_template(model, template_coordinates(model, placement, code))
    return float(np.corrcoef(scan.ravel(), warped.ravel())[0, 1] ** 2)


def landmarks_on_template(scan: Scan, model: ShapeModel, code: FieldCode | None) -> np.ndarray:
    """(landmark, axis) template voxels at which known points of the anatomy land."""
    placement = base_map(scan[0].shape, None, model.template.shape, model.affine)
    coordinates = template_coordinates(model, placement, code) / (1 << COORDINATE_BITS)
    found = []
    for landmark in LANDMARKS:
        distance = ((scan[1] - np.reshape(landmark, (2, 1, 1))) ** 2).sum(0)
        found.append(coordinates[:, *np.unravel_index(distance.argmin(), distance.shape)])
    return np.array(found)


def test_the_same_anatomy_lands_on_the_same_place(
    model_2d: ShapeModel, scan_2d: Callable[[int], Scan]
) -> None:
    scans = [scan_2d(seed) for seed in UNSEEN]
    codes = [register(scan[0], None, model_2d)[0] for scan in scans]
    before = np.array([landmarks_on_template(s, model_2d, None) for s in scans])
    after = np.array(
        [landmarks_on_template(s, model_2d, c) for s, c in zip(scans, codes, strict=True)]
    )
    assert before.std(0).mean() > 1.5
    assert after.std(0).mean() < 0.5 * before.std(0).mean()


def test_the_report_is_true_and_the_field_is_cheap(
    model_2d: ShapeModel, scan_2d: Callable[[int], Scan]
) -> None:
    tables = parametric_tables()
    for seed in UNSEEN:
        scan = scan_2d(seed)[0]
        code, report = register(scan, None, model_2d)
        data = encode_field(code, model_2d, tables)
        decoded = decode_field(data, model_2d, tables)
        assert len(data) < 60
        assert decoded.symbols.tolist() == code.symbols.tolist()
        assert report.omega == model_2d.omegas[code.omega_index]
        assert explained(scan, None, model_2d, None) < 0.88 < 0.9 < report.ncc_after**2
        assert explained(scan, None, model_2d, decoded) == pytest.approx(
            report.ncc_after**2, abs=0.06
        )
        assert report.cycle_error_voxels < 1.5
        assert report.folding_percent < 0.5


def test_grey_values_and_missing_voxels_do_not_matter(
    model_2d: ShapeModel, scan_2d: Callable[[int], Scan]
) -> None:
    scan = scan_2d(100)[0]
    code, _ = register(scan, None, model_2d)
    again, _ = register(scan, None, model_2d)
    assert again.symbols.tolist() == code.symbols.tolist()
    other, report = register(scan * 0.01 - 7, None, model_2d)
    assert np.abs(other.symbols - code.symbols).max() <= 1
    scan = scan.copy()
    scan[:, :6] = np.nan
    _, partial = register(scan, None, model_2d)
    assert partial.ncc_after > report.ncc_after - 0.05


def test_scans_registered_together_get_the_fields_they_get_alone(
    model_2d: ShapeModel, scan_2d: Callable[[int], Scan]
) -> None:
    scans = [scan_2d(seed)[0] for seed in UNSEEN]
    noise = np.random.default_rng(0).normal(size=(56, 48)).astype(np.float32)
    scans.append(noise)
    together = register_all(scans, [None] * len(scans), model_2d)
    for scan, (code, report) in zip(scans, together, strict=True):
        alone, expected = register(scan, None, model_2d)
        if scan is not noise:  # in which no field is better than another
            assert code.omega_index == alone.omega_index
            assert np.abs(code.symbols - alone.symbols).max() <= 1
        assert report.ncc_after == pytest.approx(expected.ncc_after, abs=0.01)


def test_a_constant_scan_gives_a_field_all_the_same(model_2d: ShapeModel) -> None:
    code, report = register(np.full((20, 30), 5.0, np.float32), None, model_2d)
    assert np.isfinite([report.ncc_after, report.cycle_error_voxels]).all()
    assert np.abs(code.symbols).max() < 1000


def test_a_hard_scan_is_tried_with_smoother_fields(
    model_2d: ShapeModel, scan_2d: Callable[[int], Scan]
) -> None:
    tried: list[tuple[int, float]] = []
    run = HeadFit.run

    def noted(fit: HeadFit, until: int) -> np.ndarray:
        losses = run(fit, until)
        if until == TRIAL_STEPS:
            tried.append((int(fit.omega), float(losses[0])))
        return losses

    with mock.patch.object(HeadFit, "run", noted):
        usual = [register(scan_2d(seed)[0], None, model_2d)[1] for seed in UNSEEN]
        assert any(report.omega == model_2d.omegas[0] for report in usual)
        tried.clear()
        noise = np.random.default_rng(0).normal(size=(56, 48)).astype(np.float32)
        code, report = register(noise, None, model_2d)
    assert tuple(omega for omega, _ in tried) == model_2d.omegas
    assert report.omega == min(tried, key=lambda one: one[1])[0]
    assert model_2d.omegas[code.omega_index] == report.omega
    assert report.folding_percent < 5


def test_the_template_has_room_for_all_and_the_axes_of_the_widest() -> None:
    narrow, wide = np.diag([1.0, 1.0, 1.0, 1.0]), np.diag([-2.0, 1.0, 1.0, 1.0])
    shape, affine = template_grid([(30, 40, 20), (22, 30, 20)], [narrow, wide])
    assert shape == (22, 40, 20)
    assert affine is not None
    assert (affine[:3, :3] == wide[:3, :3]).all()
    np.testing.assert_allclose(affine @ [10.5, 19.5, 9.5, 1], [0, 0, 0, 1])


def test_scans_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError):
        build_shape_model([], [], max_seconds=1, seed=0)
    with pytest.raises(InputError):
        build_shape_model(
            [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.float32)],
            [None, None],
            max_seconds=1,
            seed=0,
        )


@pytest.mark.slow
def test_hippocampus_scans_are_predicted_better_with_their_fields(data_dir: Path) -> None:
    files = sorted((data_dir / "hippocampus-t1" / "images").glob("*.nii.gz"))
    if not files:
        pytest.skip(f"needs hippocampus-t1 in {data_dir}")
    images = [nibabel.Nifti1Image.from_filename(f) for f in files[:24]]
    scans = [np.asarray(image.dataobj, dtype=np.float32) for image in images]
    affines = [image.affine for image in images]
    torch.set_num_threads(1)
    model = build_shape_model(scans[4:], affines[4:], max_seconds=20, seed=0)
    gains = []
    for scan, affine in zip(scans[:4], affines[:4], strict=True):
        code, report = register(scan, affine, model)
        assert report.folding_percent < 1
        gains.append(explained(scan, affine, model, code) - explained(scan, affine, model, None))
    assert np.mean(gains) > 0.1
