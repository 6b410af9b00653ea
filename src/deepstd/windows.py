"""Gaussian windows of the structural similarity (Wang et al. 2004).

values ─ weighted means along each axis, by the engine or in numpy ─▶ means around every value
"""

from __future__ import annotations

import numpy as np

from deepstd.engine.library import engine
from deepstd.engine.window import window_means

# Standard deviation of the window, and its end in standard deviations.
_SIGMA, _TRUNCATE = 1.5, 3.5
RADIUS = int(_TRUNCATE * _SIGMA + 0.5)
"""Values from the centre of a window to its end."""


def gaussian_means(image: np.ndarray) -> np.ndarray:
    """Return the Gaussian means of an image, with reflected borders, (*shape) float32.

    Args:
        image: values of any number of axes, float32; axes of one value are left alone.
    """
    library = engine()
    if library is not None:
        return window_means(library, image, _gaussian())
    half = _gaussian()
    for axis, length in enumerate(image.shape):
        if length > 1:
            margins = [(RADIUS * (other == axis),) * 2 for other in range(image.ndim)]
            lines = np.moveaxis(np.pad(image, margins, mode="symmetric"), axis, 0)
            sums = half[0] * lines[RADIUS:][:length]
            for distance, weight in enumerate(half[1:], 1):
                before, after = RADIUS - distance, RADIUS + distance
                sums += weight * (lines[before:][:length] + lines[after:][:length])
            image = np.moveaxis(sums, 0, axis).astype(np.float32)
    return image


def _gaussian() -> np.ndarray:
    """Return the weights of the window from its centre to its end, float64, as scipy has them."""
    half = np.exp(-0.5 / _SIGMA**2 * np.arange(RADIUS + 1) ** 2)
    return half / (half[0] + 2 * half[1:].sum())
