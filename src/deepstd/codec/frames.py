"""Frames of a scan: conversion between stored values and finite grey values.

stored frame ─ special values out ─ one-sample axis dropped ─▶ grey values (float)
grey values ─ rounded, clipped ─ special values in ─▶ stored frame
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from deepstd.special_values import Specials
from deepstd.volume import Volume

# Exponent of 2: float32 holds sums of squares of values up to this size.
_SINGLE_EXPONENT = 50


def frames_of(volume: Volume) -> list[np.ndarray]:
    """Return the stored frames of a scan, each with 2 or 3 axes."""
    if volume.voxels.ndim < 4:
        return [volume.voxels]
    return [volume.voxels[..., t] for t in range(volume.voxels.shape[3])]


def flat_axis(shape: Sequence[int]) -> int | None:
    """Return the axis of length one of a 3-D frame, which is coded as an image; else None."""
    if len(shape) != 3 or 1 not in shape:
        return None
    return max(axis for axis in range(3) if shape[axis] == 1)


def spacing_of(
    affine: np.ndarray | None, shape: Sequence[int], seen: Sequence[int]
) -> tuple[float, ...] | None:
    """Return the voxel size along each axis that a network sees, in mm; None without geometry.

    Args:
        affine: voxel-to-world matrix, (4, 4), or None.
        shape: shape of the frame.
        seen: shape without an axis of length one, where the frame is coded as an image.
    """
    if affine is None:
        return None
    spacing = np.linalg.norm(affine[:3, : len(shape)], axis=0)
    flat = flat_axis(shape) if len(seen) < len(shape) else None
    return tuple(float(s) for a, s in enumerate(spacing) if a != flat)


def are_nonnegative(frames: Iterable[np.ndarray], dtype: np.dtype) -> bool:
    """Return True if a signed or float type stores no negative value, as for MR in int16.

    Args:
        frames: finite values, without special values.
        dtype: stored type.
    """
    return dtype.kind in "if" and not any((frame < 0).any() for frame in frames)


def as_single(values: np.ndarray) -> np.ndarray:
    """Return a frame as float32, divided by a power of two if float32 cannot hold its squares.

    The result is for computations that do not depend on the scale of the values.
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
    """Convert a decoder's values, ``offset + step · steps``, to a frame of the stored type.

    Args:
        steps: float32 values in quantisation steps, of the frame's shape.
        step: grey values of one step.
        offset: grey value of 0 steps.
        dtype: stored type; its byte order is kept.
        specials: special values to restore, or None.
        nonnegative: True to clip values at 0.

    Returns:
        array of the frame's shape and the stored type.
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
    """Return the smallest and largest float64 that a type holds."""
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        return -limit, limit
    if dtype.kind == "b":
        return 0.0, 1.0
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    # float64 does not hold the largest 64-bit integers: take the nearest float within.
    return low, high if int(high) <= limits.max else float(np.nextafter(high, 0.0))
