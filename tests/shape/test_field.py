"""The integer field: the same everywhere, near to the float one, and exact where it can be told."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from deepstd.errors import DamagedError, GeometryError
from deepstd.geometry import COORDINATE_BITS, BaseMap, base_map
from deepstd.shape import (
    FieldCode,
    ShapeModel,
    inside_template,
    template_coordinates,
    warp_template,
)
from deepstd.shape.field import _sine_table, lattice_stride
from deepstd.shape.model import HEAD_BITS
from deepstd.shape.siren import BACKWARD

ONE = 1 << COORDINATE_BITS
SCAN_SHAPE = (140, 29, 17)
# What these integers were when the format was made. They may never change.
FROZEN = {2: "86c346c5f8a6754a", 3: "9fae6191364873a6"}
FROZEN_SINES = "c580515a4281de4c"
# With lattices of every fourth and eighth voxel, and several slabs.
LARGE_SHAPE = (600, 300, 9)
FROZEN_LARGE = {2: "e8f11e8f56b185aa", 3: "07e3d3cdf641e08f"}


def placed(model: ShapeModel, shape: tuple[int, ...] = SCAN_SHAPE) -> BaseMap:
    affine = None if model.affine is None else np.diag([0.2, -1.1, 1.4, 1.0])
    return base_map(shape[: model.ndim], affine, model.template.shape, model.affine)


def some_code(model: ShapeModel, omega_index: int = 0) -> FieldCode:
    symbols = np.arange(model.modes.shape[1]) * 7 % 13 - 6
    return FieldCode(omega_index, symbols.astype(np.int32))


def digest(model: ShapeModel, shape: tuple[int, ...]) -> str:
    coordinates = template_coordinates(model, placed(model, shape), some_code(model))
    values = warp_template(model, coordinates)
    data = coordinates.astype("<i4").tobytes() + values.astype("<i4").tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize(("shape", "expected"), [(SCAN_SHAPE, FROZEN), (LARGE_SHAPE, FROZEN_LARGE)])
def test_the_integers_are_those_of_the_format(
    any_model: ShapeModel, shape: tuple[int, ...], expected: dict[int, str]
) -> None:
    assert digest(any_model, shape) == expected[any_model.ndim]


@pytest.mark.parametrize("omega_index", [0, 2])
def test_integers_are_near_the_floats_of_registration(
    any_model: ShapeModel, omega_index: int
) -> None:
    model, placement, code = any_model, placed(any_model), some_code(any_model, omega_index)
    found = template_coordinates(model, placement, code) / ONE
    matrix, offset = placement.as_float()
    voxels = np.stack(np.meshgrid(*[np.arange(n) for n in placement.shape], indexing="ij"), -1)
    t = voxels @ matrix.T + offset
    reach = model.reach / ONE
    centre = np.array([(n - 1) / 2 for n in model.template.shape])
    q = ((t - centre) / reach).astype(np.float32).reshape(1, -1, model.ndim)
    features = model.trunk().at(model.omegas[omega_index]).features_and_slopes(q)[0][BACKWARD]
    moved = features @ (model.head(code) / 2.0**HEAD_BITS) * reach
    expected = (t.reshape(-1, model.ndim) + moved).T.reshape(found.shape)
    assert np.abs(expected - np.moveaxis(t, -1, 0)).max() > 0.5
    assert np.abs(found - expected).max() < 0.1


def test_a_window_is_a_part_of_the_whole(any_model: ShapeModel) -> None:
    placement, code = placed(any_model), some_code(any_model)
    whole = template_coordinates(any_model, placement, code)
    window = (slice(5, 133), slice(0, 7), slice(3, 17))[: any_model.ndim]
    part = template_coordinates(any_model, placement, code, window)
    np.testing.assert_array_equal(part, whole[(slice(None), *window)])


def test_without_a_field_the_base_map_remains(any_model: ShapeModel) -> None:
    placement = placed(any_model)
    found = template_coordinates(any_model, placement, None)
    expected = placement.coordinates([np.arange(n) for n in placement.shape])
    np.testing.assert_array_equal(found, expected)


def test_the_template_on_its_own_grid_is_itself(any_model: ShapeModel) -> None:
    shape, affine = any_model.template.shape, any_model.affine
    coordinates = template_coordinates(any_model, base_map(shape, affine, shape, affine), None)
    assert (warp_template(any_model, coordinates) == any_model.template).all()
    assert inside_template(any_model, coordinates).all()


def test_warping_is_linear_interpolation_with_a_clamped_border(any_model: ShapeModel) -> None:
    size = np.array(any_model.template.shape)[:, None]
    at = (np.random.default_rng(0).random((any_model.ndim, 500)) * (size + 6) - 3) * ONE
    found = warp_template(any_model, at.astype(np.int32))
    real = np.clip(at.astype(np.int32) / ONE, 0, size - 1)
    low = np.minimum(np.floor(real).astype(int), size - 2)
    expected = np.zeros(500)
    for corner in np.ndindex(*[2] * any_model.ndim):
        ends = np.array(corner)[:, None]
        weight = np.where(ends == 1, real - low, 1 - (real - low)).prod(0)
        expected += weight * any_model.template[tuple(low + ends)]
    assert np.abs(found - expected).max() <= 0.51


def test_what_lies_outside_the_template_is_told(any_model: ShapeModel) -> None:
    last = any_model.template.shape[0] * ONE - ONE // 2
    rows = np.zeros((any_model.ndim, 4), np.int32)
    rows[0] = [-ONE // 2 - 1, -ONE // 2, last - 1, last]
    assert inside_template(any_model, rows).tolist() == [False, True, True, False]


def test_sines_are_sines_and_far_from_a_tie() -> None:
    table = _sine_table().tolist()
    assert len(table) == 1 << 14
    for step, value in enumerate(table):
        away = abs(value - 16384 * math.sin(2 * math.pi * step / 16384))
        assert away < 0.5 - 1e-4
    assert hashlib.sha256(np.array(table, "<i2").tobytes()).hexdigest()[:16] == FROZEN_SINES


def test_large_scans_have_a_coarser_lattice() -> None:
    assert [lattice_stride(n) for n in (1, 127, 128, 255, 256, 512, 4096)] == [1, 1, 2, 2, 4, 8, 8]


def test_codes_and_base_maps_of_other_models_are_refused(any_model: ShapeModel) -> None:
    placement, count = placed(any_model), any_model.modes.shape[1]
    for code in (
        FieldCode(3, np.zeros(count, np.int32)),
        FieldCode(0, np.zeros(count + 1, np.int32)),
    ):
        with pytest.raises(DamagedError):
            template_coordinates(any_model, placement, code)
    other = base_map(placement.shape, None, [n + 1 for n in any_model.template.shape], None)
    with pytest.raises(GeometryError, match="template"):
        template_coordinates(any_model, other, None)


def test_the_wildest_code_stays_within_range(any_model: ShapeModel) -> None:
    wild = FieldCode(0, np.full(any_model.modes.shape[1], 2**31 - 1, np.int32))
    coordinates = template_coordinates(any_model, placed(any_model), wild)
    base = template_coordinates(any_model, placed(any_model), None)
    assert np.abs(coordinates - base).max() <= 128 * ONE
    assert warp_template(any_model, coordinates).max() <= 1023
