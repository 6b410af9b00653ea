"""A patch of one sign stands out; residuals of both signs side by side, or wide ones, do not."""

from __future__ import annotations

import numpy as np
import pytest

from deepstd.codec.fit import part_of
from deepstd.codec.spots import spots
from deepstd.conditioning import Conditioning


def conditioning_of(shape: tuple[int, ...]) -> tuple[Conditioning, np.ndarray]:
    """Return a warped template that lies as the scan does, and the template."""
    grid = np.indices(shape)
    lengths = np.reshape(shape, (-1, *[1] * len(shape)))
    template = np.asarray(500 + 400 * np.sin(grid.sum(0) / 5.0), np.int32)
    places = np.asarray(grid * 128 // lengths - 64, np.int16)
    return Conditioning(template[None, None], places[None]), template


@pytest.mark.parametrize(("shape", "radius"), [((192, 160), 8), ((40, 48, 36), 3)])
def test_a_ball_is_the_largest_spot(shape: tuple[int, ...], radius: int) -> None:
    conditioning, template = conditioning_of(shape)
    values = 3.0 * template + np.random.default_rng(0).normal(0, 40, shape)
    quiet = spots(conditioning, values)
    centre = [n // 3 for n in shape]
    grid = np.indices(shape)
    ball = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2
    for sign in (-1, 1):
        found = spots(conditioning, values + sign * 1500 * ball)
        assert np.nanmax(found) > 20 * np.nanmax(quiet)
        part = part_of(conditioning, shape, len(found)) == int(np.nanargmax(found))
        where = [axis.mean() for axis in np.nonzero(part)]
        assert np.linalg.norm(np.subtract(where, centre)) <= radius
    # The same energy in both signs, voxel beside voxel, is hardly a spot.
    signs = 1 - 2 * (grid.sum(0) % 2)
    mixed = spots(conditioning, values + 1500 * ball * signs)
    assert np.nanmax(mixed) < 0.1 * np.nanmax(found)


def test_what_the_scan_does_not_cover_is_not_judged() -> None:
    conditioning, template = conditioning_of((40, 48, 36))
    outside = Conditioning(conditioning.template, np.minimum(conditioning.places, -20))
    found = spots(outside, template + np.random.default_rng(1).normal(0, 9, template.shape))
    assert np.isnan(found[-1]).all()
    assert np.isfinite(found[:8, :8, :8]).any()
