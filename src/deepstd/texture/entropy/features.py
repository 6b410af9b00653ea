"""Input features of the context model, as whole numbers.

    coarser reconstruction ─ detail ─┐
    parent high subbands ────────────┼─ signed logarithm ─▶ features in −127 … 127
    warped template, its subbands ───┤
    template coordinates ────────────┘

All inputs are whole numbers of the fixed-point unit (1/64 of the quantiser step) held in floats, so
every result is exact. The logarithm is a comparison with frozen integer thresholds. The native
engine computes whole tiles of features; the functions here are its reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from deepstd.engine.library import address, engine
from deepstd.texture.entropy.integer import FEATURE_MAX

UNITS_PER_STEP = 64
"""Fixed-point units a quantisation step."""
BLUR_REACH = 1
"""Samples that `blur` depends on, on either side."""
LOG_UNIT = 16
"""Fixed-point units in the unit of the logarithm: a quarter step."""


@lru_cache(maxsize=1)
def log_thresholds() -> np.ndarray:
    """Return the smallest x with round(8 log2(1 + x)) ≥ n for n = 1 … 127, (127,) float64.

    Computed in integers.
    """
    values = []
    for n in range(1, FEATURE_MAX + 1):
        # x ≥ 2**((2n − 1) / 16) − 1  ⇔  (x + 1)**16 ≥ 2**(2n − 1)
        x = 1
        while (x + 1) ** 16 < 2 ** (2 * n - 1):
            x *= 2
        low, high = x // 2, x
        while low < high:
            middle = (low + high) // 2
            if (middle + 1) ** 16 < 2 ** (2 * n - 1):
                low = middle + 1
            else:
                high = middle
        values.append(max(low, 1))
    return np.array(values, dtype=np.float64)


def signed_log(x: np.ndarray) -> np.ndarray:
    """Return sign(x) round(8 log2(1 + |x| / 16)), clipped to ±127, in float32.

    Args:
        x: whole numbers in 1/64 step, of any shape.
    """
    library = engine()
    if library is None:
        magnitude = np.floor(np.abs(x) * (1.0 / LOG_UNIT))
        logs = np.searchsorted(log_thresholds(), magnitude, side="right")
        return np.where(x < 0, -logs, logs).astype(np.float32)
    values = np.ascontiguousarray(x, np.float64)
    found = np.empty(values.shape, np.float32)
    library.signed_logs(address(values), values.size, address(found))
    return found


def blur(x: np.ndarray) -> np.ndarray:
    """Return binomial 1-2-1 means along every spatial axis, rounded down; edges are repeated.

    Args:
        x: whole numbers, (B, C, *grid) float64.
    """
    ndim = x.ndim - 2
    for axis in range(2, x.ndim):
        ends = np.take(x, [0], axis), np.take(x, [-1], axis)
        extended = np.moveaxis(np.concatenate([ends[0], x, ends[1]], axis), axis, 0)
        sums = extended[:-2] + extended[2:]
        sums += 2 * extended[1:-1]
        x = np.moveaxis(sums, 0, axis)
    return np.floor(x * 0.25**ndim)


def upsample(x: np.ndarray, axes: Sequence[int], region: Sequence[slice]) -> np.ndarray:
    """Upsample to a region of the fine grid by repeating samples along the axes that were split.

    Args:
        x: (B, C, *coarse).
        axes: axes that were split.
        region: region of the fine grid.
    """
    for axis, span in enumerate(region):
        places = np.arange(span.start, span.stop)
        x = np.take(x, places // 2 if axis in axes else places, axis + 2)
    return x


def subsample(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Take every second sample along the axes that were split, the positions of low samples.

    Args:
        x: (B, C, *fine).
        axes: axes that were split.
    """
    spans = [slice(None, None, 2 if axis in axes else 1) for axis in range(x.ndim - 2)]
    return np.ascontiguousarray(x[(..., *spans)])
