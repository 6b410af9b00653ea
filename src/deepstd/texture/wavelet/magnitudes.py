"""How many wavelet coefficients are not quantised to zero at a step, and how much they tell.

subbands ─ histogram of log2 of the magnitudes ┬▶ coefficients above a threshold
                                               └▶ bits of independent Gaussian values
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

# In steps: the quantiser rounds a little less than this to zero.
_SIGNIFICANT = 0.6
# Lowest and highest, in octaves of normalised values, and how many in between.
_LOWEST, _HIGHEST, _COUNT = -24, 24, 3072


class Magnitudes:
    """Magnitudes of the coefficients of one scan.

    Args:
        highs: high subbands of each level, (1, bands, *coarse) each.
    """

    def __init__(self, highs: Iterable[torch.Tensor]) -> None:
        found = np.zeros(_COUNT)
        for bands in highs:
            for band in bands[0]:
                octaves = torch.log2(band.abs().float()).cpu().clamp_(max=_HIGHEST)
                found += torch.histc(octaves, _COUNT, _LOWEST, _HIGHEST).numpy()
        self._found = found
        self._above = np.concatenate([np.cumsum(found[::-1])[::-1], [0.0]])
        self._edges = np.linspace(_LOWEST, _HIGHEST, _COUNT + 1)

    def significant(self, step: float) -> float:
        """Return about how many coefficients are not quantised to zero.

        The bytes of a texture are nearly proportional to them (He and Mitra 2002, the ρ domain).

        Args:
            step: log2 of the quantiser step, in the unit of the coefficients.
        """
        threshold = math.log2(_SIGNIFICANT) + step
        return float(np.interp(threshold, self._edges, self._above))

    def bits(self, step: float) -> float:
        """Return the bits of independent Gaussian coefficients of these magnitudes.

        Larger than those of a context model, but it tells which of two scans takes fewer.

        Args:
            step: as for `significant`.
        """
        middles = 0.5 * (self._edges[1:] + self._edges[:-1])
        return float(self._found @ (0.5 * np.log2(1.0 + 4.0 ** (middles - step))))
