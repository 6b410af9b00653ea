"""Prices of coefficients: a factor of λ at every voxel, brought to the subbands of every level.

    factors of the voxels ─ least of the voxels of each coefficient, level by level ─▶ prices

Where λ is lower, a coefficient gets more bits and less error. The decoder does not depend on it.
"""

from __future__ import annotations

import numpy as np

from deepstd.texture.wavelet.lifting import Plan


def prices_of_levels(prices: np.ndarray, plan: Plan) -> list[np.ndarray]:
    """Return the factors of λ of each level's coefficients, finest first, (1, 1, *coarse) float32.

    Args:
        prices: factor of λ of every voxel, (*shape).
        plan: axes split at each level, finest first.
    """
    levels = []
    here = prices.astype(np.float32)
    for axes in plan:
        for axis in axes:
            starts = np.arange(0, here.shape[axis], 2)
            here = np.minimum.reduceat(here, starts, axis)
        levels.append(here[None, None])
    return levels
