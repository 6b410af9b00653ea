"""A procedural body in 2-D or 3-D, and coordinates deformed by known waves."""

from __future__ import annotations

import numpy as np


def anatomy(t: np.ndarray) -> np.ndarray:
    """Grey values at coordinates (ndim, …) in −1 … 1: nested ellipsoids with two blobs."""
    weights = np.array([1.0, 1.6, 1.3])[: len(t)].reshape(-1, *[1] * (t.ndim - 1))
    radius = np.sqrt((weights * t**2).sum(0))
    image = 1 / (1 + np.exp((radius - 0.8) * 25)) - 0.6 / (1 + np.exp((radius - 0.45) * 25))
    for centre in (0.3, -0.25):
        image += 0.8 * np.exp(-((t - centre) ** 2).sum(0) / 0.02)
    return image


def deformed(x: np.ndarray, rng: np.random.Generator, size: float) -> np.ndarray:
    """Coordinates moved by a shift and a few low waves."""
    moved = x.copy()
    for axis in range(len(x)):
        moved[axis] += rng.normal() * size
        for wave in range(len(x)):
            moved[axis] += rng.normal() * size * np.sin(2.2 * x[wave] + rng.uniform(0, 6))
    return moved
