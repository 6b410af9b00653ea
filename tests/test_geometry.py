"""The base map is exact and lays centres upon centres."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.errors import GeometryError
from deepstd.geometry import COORDINATE_BITS, FRACTION_BITS, BaseMap, base_map

ONE = 1 << COORDINATE_BITS
LENGTHS = st.integers(1, 300)
SHAPES = st.tuples(LENGTHS, LENGTHS, LENGTHS)
SPACINGS = st.tuples(*[st.floats(0.25, 8.0, width=32)] * 3)
PERMUTATIONS = st.permutations([0, 1, 2])
SIGNS = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)


def affine_of(
    spacing: tuple[float, ...],
    order: list[int] | None = None,
    signs: tuple[float, ...] = (1.0, 1.0, 1.0),
    origin: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order or [0, 1, 2], signs, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    affine[:3, 3] = origin
    return affine


def whole_grid(placement: BaseMap) -> np.ndarray:
    return placement.coordinates([np.arange(n) for n in placement.shape])


def at_centre(placement: BaseMap) -> list[Fraction]:
    return [
        Fraction(int(o), 1 << FRACTION_BITS)
        + sum(
            Fraction(int(a), 1 << FRACTION_BITS) * Fraction(n - 1, 2)
            for a, n in zip(row, placement.shape, strict=True)
        )
        for row, o in zip(placement.matrix, placement.offset, strict=True)
    ]


@given(SHAPES, SPACINGS, PERMUTATIONS, SIGNS, SHAPES, SPACINGS)
def test_centres_of_the_fields_of_view_meet(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    order: list[int],
    signs: tuple[float, ...],
    template_shape: tuple[int, ...],
    template_spacing: tuple[float, ...],
) -> None:
    placement = base_map(
        shape, affine_of(spacing, order, signs), template_shape, affine_of(template_spacing)
    )
    rounding = Fraction(sum(shape) + 2, 1 << (FRACTION_BITS + 1))
    for found, n in zip(at_centre(placement), template_shape, strict=True):
        assert abs(found - Fraction(n - 1, 2)) <= rounding


@given(SHAPES, SPACINGS, SIGNS)
def test_a_scan_on_its_own_grid_stays_where_it_is(
    shape: tuple[int, ...], spacing: tuple[float, ...], signs: tuple[float, ...]
) -> None:
    affine = affine_of(spacing, signs=signs)
    placement = base_map(shape, affine, shape, affine)
    assert (placement.matrix == np.eye(3, dtype=np.int64) << FRACTION_BITS).all()
    assert (placement.offset == 0).all()


@given(SPACINGS, st.tuples(*[st.floats(-500, 500)] * 3))
def test_the_origin_of_a_crop_means_nothing(
    spacing: tuple[float, ...], origin: tuple[float, ...]
) -> None:
    one = base_map((9, 8, 7), affine_of(spacing), (10, 10, 10), affine_of((1, 1, 1)))
    other = base_map(
        (9, 8, 7), affine_of(spacing, origin=origin), (10, 10, 10), affine_of((1, 1, 1))
    )
    assert (one.matrix == other.matrix).all()
    assert (one.offset == other.offset).all()


def test_reversed_axes_are_turned_back() -> None:
    placement = base_map(
        (4, 5, 6), affine_of((1, 1, 1), signs=(-1, 1, -1)), (4, 5, 6), affine_of((1, 1, 1))
    )
    axes = (np.arange(3, -1, -1), np.arange(5), np.arange(5, -1, -1))
    expected = np.stack(np.meshgrid(*axes, indexing="ij"))
    assert (whole_grid(placement) == expected * ONE).all()


def test_swapped_axes_and_spacing_are_followed() -> None:
    placement = base_map((3, 5), affine_of((2, 1, 1), [1, 0, 2]), (5, 6), affine_of((1, 1, 1)))
    i, j = np.meshgrid(range(3), range(5), indexing="ij")
    found = whole_grid(placement)
    assert (found[0] == j * ONE).all()
    assert (found[1] == (2 * i + 0.5) * ONE).all()


def test_an_oblique_affine_is_close_to_what_floats_say() -> None:
    rng = np.random.default_rng(3)
    scan, template = np.eye(4), np.eye(4)
    scan[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * [0.7, 0.8, 2.5]
    template[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * 1.5
    placement = base_map((40, 50, 20), scan, (30, 31, 32), template)
    matrix, offset = placement.as_float()
    expected = np.linalg.solve(template[:3, :3], scan[:3, :3])
    np.testing.assert_allclose(matrix, expected, atol=2.0**-FRACTION_BITS)
    centre = (np.array([30, 31, 32]) - 1) / 2
    np.testing.assert_allclose(offset, centre - expected @ [19.5, 24.5, 9.5], atol=1e-6)


@pytest.mark.parametrize("missing", ["scan", "template", "both"])
def test_without_geometry_extents_lie_on_extents(missing: str) -> None:
    known = affine_of((3, 0.5, 1), signs=(-1, 1, 1))
    placement = base_map(
        (64, 10),
        known if missing == "template" else None,
        (128, 5),
        known if missing == "scan" else None,
    )
    matrix, offset = placement.as_float()
    assert matrix.tolist() == [[2, 0], [0, 0.5]]
    for shape, there in ((-0.5, -0.5), (np.array([63.5, 9.5]), np.array([127.5, 4.5]))):
        np.testing.assert_allclose(matrix @ np.broadcast_to(shape, 2) + offset, there)


def singular(value: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 1] = affine[:3, 0] * value
    return affine


@pytest.mark.parametrize("bad", [singular(0.0), singular(1.0), np.eye(4) * np.nan, np.eye(3)])
def test_affines_that_are_no_geometry_are_refused(bad: np.ndarray) -> None:
    for pair in ((bad, np.eye(4)), (np.eye(4), bad)):
        with pytest.raises(GeometryError):
            base_map((4, 4, 4), pair[0], (4, 4, 4), pair[1])


def test_planes_at_right_angles_are_refused() -> None:
    with pytest.raises(GeometryError, match="right angles"):
        base_map((4, 4), affine_of((1, 1, 1), [0, 2, 1]), (4, 4), affine_of((1, 1, 1)))


def test_metres_against_millimetres_are_refused() -> None:
    with pytest.raises(GeometryError, match="spacing"):
        base_map((90, 90, 90), np.diag([1e5, 1, 1, 1]), (90, 90, 90), np.eye(4))


def test_other_numbers_of_axes_are_refused() -> None:
    with pytest.raises(GeometryError, match="axes"):
        base_map((4, 4), None, (4, 4, 4), None)
