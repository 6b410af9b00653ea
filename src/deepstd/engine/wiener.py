"""A frame and its Wiener filter, as the engine reads them (csrc/wiener.c).

restored values, coefficients of knots ─ WienerRecord ─▶ filtered values
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from deepstd.engine.library import address, engine

_FLOAT, _POINTER = ctypes.c_float, ctypes.c_void_p


class WienerRecord(ctypes.Structure):
    """A frame and its filter (``struct wiener``)."""

    _fields_ = [
        ("shape", ctypes.c_int64 * 3),
        *[(n, _POINTER) for n in ("values", "filtered", "offsets", "coefficients")],
        *[(name, _FLOAT) for name in ("bound", "floor", "codes", "lowest", "apart")],
        *[(name, ctypes.c_int32) for name in ("pairs", "knots", "threads")],
    ]


def wiener_filtered(
    steps: np.ndarray,
    offsets: Sequence[Sequence[int]],
    coefficients: np.ndarray,
    bound: float,
    place: tuple[float, float, float, float],
    threads: int,
) -> np.ndarray:
    """Filter a frame on the engine; return its values in steps, (*shape) float32.

    Args:
        steps: restored values in steps, (*shape) of 2 or 3 axes.
        offsets: offset of one neighbour of each pair of opposite neighbours.
        coefficients: (knots, pairs).
        bound: largest difference to a neighbour, in steps.
        place: floor, codes an octave, lowest code and knots a code, which place an activity.
        threads: threads to use.

    Raises:
        ValueError: the coefficients do not fit the offsets.
    """
    if coefficients.shape[1] != len(offsets):
        raise ValueError(f"{coefficients.shape[1]} coefficients for {len(offsets)} neighbours")
    values = np.ascontiguousarray(steps, np.float32)
    filtered = np.empty_like(values)
    weights = np.ascontiguousarray(coefficients, np.float32)
    missing = 3 - values.ndim
    places = np.array([[*[0] * missing, *offset] for offset in offsets], np.int64)
    record = WienerRecord(
        (ctypes.c_int64 * 3)(*[1] * missing, *values.shape),
        *map(address, (values, filtered, places, weights)),
        *(bound, *place, len(offsets), len(weights), threads),
    )
    library = engine()
    if library is None:
        raise RuntimeError("the native engine is not loaded")
    library.wiener_run(ctypes.byref(record))
    return filtered
