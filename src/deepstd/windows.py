"""Gaussian windows of the structural similarity (Wang et al. 2004).

values ─ weighted means along each axis, by the engine or in numpy ─▶ means around every value
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from deepstd.engine.library import engine
from deepstd.engine.window import window_means

# Standard deviation of the window, and its end in standard deviations.
_SIGMA, _TRUNCATE = 1.5, 3.5
RADIUS = int(_TRUNCATE * _SIGMA + 0.5)
"""Values from the centre of a window to its end."""
Border = Literal["symmetric", "edge", "constant"]


def gaussian_means(image: np.ndarray) -> np.ndarray:
    """Return the Gaussian means of an image, with reflected borders, (*shape) float32.

    Args:
        image: values of any number of axes, float32; axes of one value are left alone.
    """
    library = engine()
    if library is not None:
        return window_means(library, image, _gaussian())
    for axis, length in enumerate(image.shape):
        if length > 1:
            image = _along(image, axis, _gaussian(), "symmetric").astype(np.float32)
    return image


def smoothed(values: np.ndarray, sigma: float, border: Border) -> np.ndarray:
    """Smooth values by a Gaussian of 4 standard deviations on either side, float64.

    Args:
        values: any number of axes.
        sigma: standard deviation of the window.
        border: "edge" repeats border values, "constant" continues with zeros.
    """
    half = _gaussian(sigma, int(4 * sigma + 0.5))
    for axis in range(values.ndim):
        values = _along(values, axis, half, border)
    return values


def _along(values: np.ndarray, axis: int, half: np.ndarray, border: Border) -> np.ndarray:
    """Return the means along one axis, float64."""
    radius, length = len(half) - 1, values.shape[axis]
    margins = [(radius * (other == axis),) * 2 for other in range(values.ndim)]
    lines = np.moveaxis(np.pad(values, margins, mode=border), axis, 0)
    sums = half[0] * lines[radius:][:length]
    for distance, weight in enumerate(half[1:], 1):
        before, after = radius - distance, radius + distance
        sums += weight * (lines[before:][:length] + lines[after:][:length])
    return np.moveaxis(sums, 0, axis)


def _gaussian(sigma: float = _SIGMA, radius: int = RADIUS) -> np.ndarray:
    """Return the weights of the window from its centre to its end, float64, as scipy has them."""
    half = np.exp(-0.5 / sigma**2 * np.arange(radius + 1) ** 2)
    return half / (half[0] + 2 * half[1:].sum())
