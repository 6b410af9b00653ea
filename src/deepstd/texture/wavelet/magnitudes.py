"""Statistics of wavelet coefficients: number of significant coefficients, and bits, at a step.

subbands ─ histogram of log2 of the magnitudes ┬▶ coefficients above a threshold
                                               └▶ bits of independent Gaussian values
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

# Dead zone in steps: the quantiser rounds smaller magnitudes to zero.
_SIGNIFICANT = 0.6
# Range of the histogram in octaves of normalised values, and its number of bins.
_LOWEST, _HIGHEST, _COUNT = -24, 24, 3072


class Magnitudes:
    """Histogram of the magnitudes of the coefficients of one scan.

    Args:
        highs: high subbands of each level, (1, bands, *coarse).
    """

    def __init__(self, highs: Iterable[np.ndarray]) -> None:
        found = np.zeros(_COUNT)
        for bands in highs:
            for band in bands[0]:
                magnitudes = np.abs(band.astype(np.float32)).reshape(-1)
                with np.errstate(divide="ignore"):
                    octaves = np.minimum(np.log2(magnitudes), _HIGHEST)
                places = (octaves[octaves >= _LOWEST] - _LOWEST) * (_COUNT / (_HIGHEST - _LOWEST))
                counted = np.bincount(places.astype(np.intp), minlength=_COUNT + 1)
                counted[_COUNT - 1] += counted[_COUNT]  # the last bin holds its upper edge
                found += counted[:_COUNT]
        self._found = found
        self._above = np.concatenate([np.cumsum(found[::-1])[::-1], [0.0]])
        self._edges = np.linspace(_LOWEST, _HIGHEST, _COUNT + 1)

    def significant(self, step: float) -> float:
        """Estimate the number of coefficients that are not quantised to zero.

        The bytes of a texture are nearly proportional to this number (He and Mitra 2002, the
        ρ domain).

        Args:
            step: log2 of the quantisation step, in the unit of the coefficients.
        """
        threshold = math.log2(_SIGNIFICANT) + step
        return float(np.interp(threshold, self._edges, self._above))

    def bits(self, step: float) -> float:
        """Return the bits of independent Gaussian coefficients of these magnitudes.

        A context model takes fewer bits, but ranks scans alike.

        Args:
            step: log2 of the quantisation step, in the unit of the coefficients.
        """
        middles = 0.5 * (self._edges[1:] + self._edges[:-1])
        return float(self._found @ (0.5 * np.log2(1.0 + 4.0 ** (middles - step))))
