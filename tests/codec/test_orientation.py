"""A scan that lies as its template does is told from one that is turned."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from deepstd.codec.orientation import advantage


def shape_of(shape: tuple[int, ...]) -> np.ndarray:
    """Return a blob without any symmetry."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    ball = sum(
        (g - c) ** 2 / (1 + n) for n, (g, c) in enumerate(zip(grid, (0.3, -0.4, 0.2), strict=False))
    )
    return 1000 * np.exp(-3 * ball) + 300 * (grid[0] > 0.7 * grid[-1])


@pytest.mark.parametrize("shape", [(60, 44), (30, 24, 20)])
def test_every_mirror_image_is_told(shape: tuple[int, ...]) -> None:
    template = shape_of(shape)
    noise = np.random.default_rng(0).normal(0, 80, shape)
    upright = advantage(template, template + noise)
    assert upright > 0.2
    for count in range(1, len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            turned = np.flip(template + noise, axes)
            assert advantage(template, turned) < -0.1


@pytest.mark.parametrize("shape", [(60, 60), (60, 44)])
def test_quarter_turns_of_images_are_told(shape: tuple[int, ...]) -> None:
    template = shape_of(shape)
    quarter = shape_of(shape[::-1])
    for turned in (np.rot90(quarter), np.rot90(quarter, 3), quarter.T, np.rot90(quarter, 2).T):
        assert turned.shape == shape
        assert advantage(template, 3 * turned + 5) < -0.1


def test_a_symmetric_template_has_no_advantage() -> None:
    half = shape_of((40, 30))
    template = half + half[::-1]
    assert abs(advantage(template, template)) < 1e-9


def test_constant_values_are_no_error() -> None:
    assert advantage(np.ones((8, 8)), np.arange(64.0).reshape(8, 8)) == 0
    assert advantage(np.ones((8, 8, 8)), np.zeros((8, 8, 8))) == 0


def test_large_scans_are_sampled() -> None:
    template = shape_of((1500, 1200))
    assert advantage(template, template[::-1].astype(np.int16)) < 0 < advantage(template, template)
