"""Levels of the wavelet on the native engine.

subbands ─ Steps, LevelRecord ─ lift_level ─▶ samples, or samples ─▶ subbands
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepstd.engine.library import OUT_OF_MEMORY, address
from deepstd.texture.wavelet.lifting_steps import Steps

_INT, _LONG, _DOUBLE = ctypes.c_int32, ctypes.c_int64, ctypes.c_double
# Fewer samples are not worth a second thread.
_SHARED_FROM = 1 << 17


class LevelRecord(ctypes.Structure):
    """A level of a batch as the engine reads it (``struct lifting``)."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("low", "high", "fine")],
        *[(name, _INT) for name in ("low_wide", "high_wide", "fine_wide", "merges")],
        *[("scans", _LONG), ("bands", _LONG), ("size", _LONG * 3), ("coarse", _LONG * 3)],
        *[("split", _INT * 3), ("bit", _INT * 3)],
        *[("factors", _DOUBLE * 4), ("scales", _DOUBLE * 2), ("sign", _DOUBLE)],
        *[(name, _INT) for name in ("first", "whole", "transposed")],
    ]


def transform(
    library: Any,
    steps: Steps,
    low: np.ndarray,
    high: np.ndarray,
    fine: np.ndarray,
    axes: Sequence[int],
    threads: int,
) -> None:
    """Fill ``fine`` from the subbands, or the subbands from ``fine``, as the steps ask.

    Args:
        library: the engine.
        steps: lifting steps.
        low, high, fine: arrays of one level; those that are filled are contiguous.
        axes: axes that are split.
        threads: number of threads.
    """
    arrays = [np.ascontiguousarray(array) for array in (low, high, fine)]
    record = LevelRecord(
        *map(address, arrays),
        *(_is_wide(array) for array in arrays),
        *(steps.merges, len(low), high.shape[1]),
        *(_three(fine.shape[2:], 1), _three(low.shape[2:], 1)),
        _three([int(axis in axes) for axis in range(fine.ndim - 2)], 0),
        _three([1 << axis for axis in range(fine.ndim - 2)], 0),
        *(steps.factors, steps.scales, steps.sign, steps.first, steps.whole, steps.transposed),
    )
    if fine.size < _SHARED_FROM:
        threads = 1
    if library.lift_level(ctypes.addressof(record), threads) == OUT_OF_MEMORY:
        raise MemoryError


def _is_wide(array: np.ndarray) -> bool:
    """Return whether an array is float64 and not float32.

    Raises:
        ValueError: it is neither.
    """
    if array.dtype not in (np.float32, np.float64):
        raise ValueError(f"the wavelet takes float32 or float64, not {array.dtype}")
    return array.dtype == np.float64


def _three(values: Sequence[int], missing: int) -> tuple[int, ...]:
    """Return the numbers of three axes; images lack the middle one."""
    return (values[0], *[missing] * (3 - len(values)), *values[1:])
