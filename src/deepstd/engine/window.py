"""Weighted means of windows along the axes of an array, by the engine (csrc/window.c).

values, weights of a symmetric window ─ axis by axis ─▶ means
"""

from __future__ import annotations

import ctypes
import math

import numpy as np

from deepstd.engine.library import address, engine

_LONG, _POINTER = ctypes.c_int64, ctypes.c_void_p


class WindowRecord(ctypes.Structure):
    """An array and the window along one of its axes (``struct window_mean``)."""

    _fields_ = [
        *[(name, _POINTER) for name in ("values", "means")],
        *[(name, _LONG) for name in ("outer", "length", "inner")],
        *[("weights", _POINTER), ("radius", ctypes.c_int32)],
    ]


def window_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the means of the windows around all values, (*shape) float32.

    Borders are reflected, and axes of one value are left alone. Sums are float64.

    Args:
        values: (*shape), taken as float32.
        weights: of the window from its centre to its end, (radius + 1,) float64.

    Raises:
        MemoryError: there is no memory for a line.
    """
    means = np.ascontiguousarray(values, np.float32)
    half = np.ascontiguousarray(weights, np.float64)
    along = _along_axis if engine() is None else _along_axis_natively
    for axis, length in enumerate(means.shape):
        if length > 1:
            means = along(means, axis, half)
    return means


def _along_axis_natively(values: np.ndarray, axis: int, half: np.ndarray) -> np.ndarray:
    means, shape = np.empty_like(values), values.shape
    sides = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    arrays = address(values), address(means)
    record = WindowRecord(*arrays, *sides, address(half), len(half) - 1)
    if engine().window_means(ctypes.byref(record)):
        raise MemoryError("no memory for a line of an array")
    return means


def _along_axis(values: np.ndarray, axis: int, half: np.ndarray) -> np.ndarray:
    length, radius = values.shape[axis], len(half) - 1
    margins = [(radius * (other == axis),) * 2 for other in range(values.ndim)]
    lines = np.moveaxis(np.pad(values, margins, mode="symmetric"), axis, 0)
    sums = half[0] * lines[radius:][:length]
    for distance, weight in enumerate(half[1:], 1):
        before, after = radius - distance, radius + distance
        sums += weight * (lines[before:][:length] + lines[after:][:length])
    return np.ascontiguousarray(np.moveaxis(sums, 0, axis), np.float32)
