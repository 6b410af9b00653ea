"""A scan at a half, a quarter … of its resolution: the low subband of a level, as grey values.

    low subband after n levels ─ / (gain of a constant)ⁿ an axis ─▶ steps, on every 2ⁿ-th voxel

A low sample lies where the first of the two fine samples lay, so the first voxel stays in its
place and the distance between voxels doubles along every axis that the level split.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from deepstd.errors import InputError
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.wavelet.lifting import Plan, split


def subsampling(plan: Plan, level: int, ndim: int) -> tuple[int, ...]:
    """Of every how many voxels along each axis a preview has one.

    Args:
        plan: axes split at each level, finest first.
        level: number of levels that are left out.
        ndim: number of axes.

    Raises:
        InputError: the scan has not so many levels.
    """
    if not 0 <= level <= len(plan):
        raise InputError(f"level {level} does not exist: expected 0 to {len(plan)}")
    return tuple(2 ** sum(axis in axes for axes in plan[:level]) for axis in range(ndim))


def preview_steps(low: torch.Tensor, factors: tuple[int, ...]) -> np.ndarray:
    """A low subband in units, (1, 1, *grid), as values in steps on the scan's scale, (*grid)."""
    gain = _constant_gain() ** math.log2(math.prod(factors))
    return (low[0, 0] * (1.0 / (UNITS_PER_STEP * gain))).float().cpu().numpy()


@cache
def _constant_gain() -> float:
    """By how much one level along one axis multiplies a constant in the low subband."""
    low, _ = split(torch.ones((1, 1, 2, 1), dtype=torch.float64), (0,))
    return float(low.mean())
