"""Orientation: is a scan more like the template as it lies, or like the template turned?

scan, template before registration ─ correlations, as it lies and turned ─▶ the advantage
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

# End of the scale of correlations.
_LARGEST = 0.9999
_SAMPLES = 1 << 20  # voxels that suffice for a correlation


def advantage(template: np.ndarray, values: np.ndarray) -> float:
    """Return the correlation with the template less the best with it turned, in atanh.

    It is about 0 where the template is about symmetric. All mirror images are tried, and of images
    the quarter turns.

    Args:
        template: the template on the scan's grid, before the registration.
        values: grey values of the scan, of the same shape.
    """
    stride = max(1, math.ceil((values.size / _SAMPLES) ** (1 / values.ndim)))
    every = (slice(None, None, stride),) * values.ndim
    scan, own = _centred(values[every]), _centred(template[every])
    best = max(_correlation(scan, turned) for turned in _turned(own))
    return math.atanh(_correlation(scan, own)) - math.atanh(best)


def _turned(image: np.ndarray) -> Iterator[np.ndarray]:
    for count in range(1, image.ndim + 1):
        for axes in itertools.combinations(range(image.ndim), count):
            yield np.flip(image, axes)
    if image.ndim == 2:
        # A turned image is stretched to the shape of the upright one.
        rows, columns = (
            np.arange(n) * m // n for n, m in zip(image.shape, image.T.shape, strict=True)
        )
        upright = image.T[np.ix_(rows, columns)]
        for axes in ((), (0,), (1,), (0, 1)):
            yield np.flip(upright, axes)


def _centred(values: np.ndarray) -> np.ndarray:
    found = values.astype(np.float64)
    return found - found.mean()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    b = b - b.mean()
    power = float(np.square(a).sum()) * float(np.square(b).sum())
    found = float((a * b).sum()) / math.sqrt(power) if power > 0 else 0.0
    return min(max(found, -_LARGEST), _LARGEST)
