"""Weighted means of windows along the axes of an array, by the engine (csrc/window.c).

values, weights of a symmetric window ─ axis by axis ─▶ means
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from deepstd.engine.library import address

_LONG, _POINTER = ctypes.c_int64, ctypes.c_void_p


class WindowRecord(ctypes.Structure):
    """An array and the window along one of its axes (``struct window_mean``)."""

    _fields_ = [
        *[(name, _POINTER) for name in ("values", "means")],
        *[(name, _LONG) for name in ("outer", "length", "inner")],
        *[("weights", _POINTER), ("radius", ctypes.c_int32)],
    ]


def window_means(library: Any, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the means of the windows around all values, (*shape) float32.

    Borders are reflected, and axes of one value are left alone.

    Args:
        library: the engine.
        values: (*shape), taken as float32.
        weights: of the window from its centre to its end, (radius + 1,) float64.

    Raises:
        MemoryError: there is no memory for a line.
    """
    means = np.ascontiguousarray(values, np.float32)
    half = np.ascontiguousarray(weights, np.float64)
    for axis, length in enumerate(means.shape):
        if length < 2:
            continue
        source, means = means, np.empty_like(means)
        sides = math.prod(source.shape[:axis]), length, math.prod(source.shape[axis + 1 :])
        record = WindowRecord(address(source), address(means), *sides, address(half), len(half) - 1)
        if library.window_means(ctypes.byref(record)):
            raise MemoryError("no memory for a line of an array")
    return means
