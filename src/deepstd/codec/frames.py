"""Conversion of stored frames to finite grey values of 2 or 3 axes, and back.

stored frame ─ special values out ─ one-sample axis dropped ─▶ values (float)
values ─ rounded, clipped ─ special values in ─▶ stored frame
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from deepstd.special_values import Specials
from deepstd.volume import Volume

# Sums of squares of values up to 2**50 fit float32.
_SINGLE_EXPONENT = 50


def frames_of(volume: Volume) -> list[np.ndarray]:
    """Return the stored frames (time points) of a scan, each with 2 or 3 axes."""
    if volume.voxels.ndim < 4:
        return [volume.voxels]
    return [volume.voxels[..., t] for t in range(volume.voxels.shape[3])]


def flat_axis(shape: Sequence[int]) -> int | None:
    """Return the axis to drop from a 3-D frame of one slice, so that it is coded as an image.

    Returns:
        The last axis of one voxel; None where the frame has several slices or 2 axes.
    """
    if len(shape) != 3 or 1 not in shape:
        return None
    return max(axis for axis in range(3) if shape[axis] == 1)


def are_nonnegative(frames: Iterable[np.ndarray], dtype: np.dtype) -> bool:
    """Return whether no value is negative although the stored type is signed, as often in MR.

    Args:
        frames: grey values of each frame, without special values.
        dtype: stored type.
    """
    return dtype.kind in "if" and not any((frame < 0).any() for frame in frames)


def as_single(values: np.ndarray) -> np.ndarray:
    """Convert a frame to float32, divided by a power of two where float32 cannot hold it.

    The scale of the result is arbitrary.

    Args:
        values: grey values of any shape and type.
    """
    largest = float(np.abs(values).max(initial=0.0)) if values.dtype.kind == "f" else 0.0
    exponent = math.frexp(largest)[1]
    if exponent <= _SINGLE_EXPONENT:
        return values.astype(np.float32)
    return (values * 2.0**-exponent).astype(np.float32)


def stored(
    steps: np.ndarray,
    step: float,
    offset: float,
    dtype: np.dtype,
    specials: Specials | None,
    *,
    nonnegative: bool = False,
) -> np.ndarray:
    """Convert decoded values, ``offset + step · steps``, to a frame of the stored type.

    Args:
        steps: decoded values in quantisation steps, float32, of the frame's shape.
        step: quantisation step in grey values.
        offset: grey value of 0 steps.
        dtype: stored type; its byte order is kept.
        specials: special values to restore, or None.
        nonnegative: whether values below 0 become 0.
    """
    frame = np.empty(steps.shape, dtype=dtype)
    low, high = limits(dtype, nonnegative=nonnegative)
    for row, target in zip(steps, frame, strict=True):
        values = row * np.float64(step) + offset
        if dtype.kind == "b":
            target[...] = values > 0.5
        else:
            values = np.rint(values) if dtype.kind in "iu" else values
            target[...] = np.clip(values, low, high)
    return frame if specials is None else specials.restore(frame)


def limits(dtype: np.dtype, *, nonnegative: bool = False) -> tuple[float, float]:
    """Return the smallest and largest float64 that a decoder writes into a type."""
    low, high = _limits(dtype)
    return max(low, 0.0) if nonnegative else low, high


def _limits(dtype: np.dtype) -> tuple[float, float]:
    """Return the smallest and largest float64 that fit a type."""
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        return -limit, limit
    if dtype.kind == "b":
        return 0.0, 1.0
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    # The largest 64-bit integers are not float64: take the nearest float64 in range.
    return low, high if int(high) <= limits.max else float(np.nextafter(high, 0.0))
