"""Procedural scans moved by known fields, and models to try on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from anatomy import anatomy, deformed

from deepstd.shape import ShapeModel
from deepstd.train.template.build import build_shape_model

SHAPE_2D = (56, 48)
Scan = tuple[np.ndarray, np.ndarray]


def procedural_scan(shape: tuple[int, ...], seed: int, size: float = 0.06) -> Scan:
    """A noisy scan of any grey-value scale, and where its voxels lie on the anatomy."""
    rng = np.random.default_rng(seed)
    axes = [(2 * np.arange(n) + 1) / n - 1 for n in shape]
    there = deformed(np.stack(np.meshgrid(*axes, indexing="ij")), rng, size)
    image = anatomy(there) + rng.normal(size=shape) * 0.02
    return (image * rng.uniform(10, 1000) + rng.uniform(-50, 50)).astype(np.float32), there


@pytest.fixture(scope="session")
def scan_2d() -> Callable[[int], Scan]:
    return lambda seed: procedural_scan(SHAPE_2D, seed)


@pytest.fixture(scope="session")
def model_2d(scan_2d: Callable[[int], Scan]) -> ShapeModel:
    """What 24 procedural scans have in common."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    scans = [scan_2d(seed)[0] for seed in range(24)]
    model = build_shape_model(scans, [None] * 24, max_seconds=15, seed=0)
    torch.set_num_threads(threads)
    return model


def random_model(ndim: int) -> ShapeModel:
    """A model of random whole numbers, of the size that training finds."""
    width, modes, shape = 16, 12, (23, 31, 18)[:ndim]
    drawn = 0

    def draw(*size: int, below: int) -> np.ndarray:
        """Numbers that no library's generator has a say in."""
        nonlocal drawn
        count = int(np.prod(size))
        index = np.arange(drawn, drawn + count, dtype=np.uint64) + np.uint64(1)
        drawn += count
        mixed = index * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        return ((mixed >> np.uint64(33)) % np.uint64(below)).astype(np.int64).reshape(size)

    def whole(*size: int, spread: float, bits: int) -> np.ndarray:
        most = int(spread * 1.7 * (1 << bits))
        return (draw(*size, below=2 * most + 1) - most).astype(np.int32)

    return ShapeModel(
        template=draw(*shape, below=1024).astype(np.uint16),
        affine=None if ndim == 2 else np.diag([1.0, 1.0, 1.5, 1.0]),
        reach=np.array([3968, 3968, 2645][:ndim]),
        omegas=(10, 8, 6),
        threshold=-1.5,
        weight1=whole(2, ndim, width, spread=0.3, bits=14),
        bias1=whole(2, 1, width, spread=0.2, bits=14),
        weight2=whole(2, width, width, spread=0.04, bits=14),
        bias2=whole(2, 1, width, spread=0.2, bits=14),
        heads=whole(3, 2, width + 1, ndim, spread=0.006, bits=20),
        modes=whole(3, modes, (width + 1) * ndim, spread=0.0012, bits=20),
        scale_index=(5 + draw(3, modes, below=25)).astype(np.uint8),
    )


@pytest.fixture(scope="session", params=[2, 3])
def any_model(request: pytest.FixtureRequest) -> ShapeModel:
    return random_model(request.param)
