"""Previews at a half, a quarter … of the resolution: the low-pass band of a level as grey values.

    low-pass band after n levels ─ / (DC gain)ⁿ an axis ─▶ steps, on every 2ⁿ-th voxel

A low-pass sample has the position of the first of two fine samples. The first voxel therefore keeps
its position, and the spacing doubles along every axis that the level splits.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from deepstd.errors import InputError
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.wavelet.lifting import Plan, split


def subsampling(plan: Plan, level: int, ndim: int) -> tuple[int, ...]:
    """Return the subsampling factor of a preview along each axis.

    Args:
        plan: axes split at each level, finest first.
        level: number of finest levels that are left out.
        ndim: number of axes.

    Raises:
        InputError: the scan has fewer levels.
    """
    if not 0 <= level <= len(plan):
        raise InputError(f"level {level} does not exist: expected 0 to {len(plan)}")
    return tuple(2 ** sum(axis in axes for axes in plan[:level]) for axis in range(ndim))


def preview_steps(low: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Convert a low-pass band in 1/64 step to values in steps of the scan's scale.

    Args:
        low: low-pass band, (1, 1, *grid).
        factors: subsampling factor along each axis.

    Returns:
        (*grid) float32.
    """
    gain = _constant_gain() ** math.log2(math.prod(factors))
    return (low[0, 0] * (1.0 / (UNITS_PER_STEP * gain))).astype(np.float32)


@cache
def _constant_gain() -> float:
    """Return the DC gain of the low-pass filter of one level along one axis."""
    low, _ = split(np.ones((1, 1, 2, 1)), (0,))
    return float(low.mean())
