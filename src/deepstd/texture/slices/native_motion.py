"""Motion compensation on the native engine.

slices, Matching ─ MotionRecord ─ motion_halfway ─▶ mean and difference
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

from deepstd.engine.library import OUT_OF_MEMORY, address

_INT, _LONG, _POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p


class Matching(NamedTuple):
    """Candidates and costs of motion vectors.

    Attributes:
        candidates: changes of the coarser level's vector, the preferred first, (n, 2) int32 from
            −1 to 1.
        radius: radius of the matching window, in pixels.
        largest_difference: in 1/64 step; larger differences of pixels are clipped.
        change_price: cost of a change in 1/64 step per pixel of the window.
        length_price: cost of each pixel of the vector's length along either axis, likewise.
    """

    candidates: np.ndarray
    radius: int
    largest_difference: int
    change_price: int
    length_price: int


class MotionRecord(ctypes.Structure):
    """A batch of pairs of slices as the engine reads it (``struct motion``)."""

    _fields_ = [
        *[(name, _POINTER) for name in ("before", "after", "mean", "difference")],
        *[(name, _LONG) for name in ("images", "rows", "columns")],
        *[("candidates", _POINTER), ("candidate_count", _INT), ("levels", _INT)],
        *[("radius", _INT), ("largest_difference", _INT)],
        *[("change_price", _INT), ("length_price", _INT)],
    ]


def compensate(
    library: Any,
    matching: Matching,
    before: np.ndarray,
    after: np.ndarray,
    levels: int,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the difference of two slices after motion compensation.

    Args:
        library: the engine.
        matching: how vectors are chosen.
        before, after: reference slices, (B, 1, h, w) whole numbers in float64, contiguous.
        levels: levels of the pyramid, at most 8.
        threads: number of threads, which share the batch.
    """
    mean, difference = np.empty_like(before), np.empty_like(before)
    candidates, *numbers = matching
    record = MotionRecord(
        *map(address, (before, after, mean, difference)),
        *(len(before), *before.shape[2:]),
        *(address(candidates), len(candidates), levels, *numbers),
    )
    if library.motion_halfway(ctypes.addressof(record), threads) == OUT_OF_MEMORY:
        raise MemoryError
    return mean, difference
