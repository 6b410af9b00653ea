"""Smooth continuation of a frame into its holes: the pull-push algorithm on a pyramid of means.

    values, hole ─ means of known pairs, axis by axis ─▶ half the size ─ … until no hole is left
    hole ◀─ linear interpolation ─ double the size ◀───────────────────┘

The result costs a wavelet codec next to no bytes: far from known values only the coarsest levels
vary (Gortler et al., The Lumigraph, 1996, section 3.3.3).
"""

from __future__ import annotations

import numpy as np


def fill_holes(values: np.ndarray, hole: np.ndarray) -> None:
    """Continue the values smoothly into the hole, in place.

    Args:
        values: float frame; its values in the hole are ignored but must be finite.
        hole: bool, same shape; not True everywhere.
    """
    coarse, coarse_hole = values, hole
    for axis in range(values.ndim):
        coarse, coarse_hole = _halve(coarse, coarse_hole, axis)
    if coarse_hole.any():
        fill_holes(coarse, coarse_hole)
    for axis in range(1, values.ndim):
        coarse = _double(coarse, values.shape[axis], axis)
    # Along the first axis slice by slice, to avoid a second array of the full size.
    for index in np.flatnonzero(hole.any(axis=tuple(range(1, hole.ndim)))):
        near = index // 2
        other = min(max(near + 2 * (index % 2) - 1, 0), len(coarse) - 1)
        missing = hole[index]
        values[index][missing] = 0.75 * coarse[near][missing] + 0.25 * coarse[other][missing]


def _halve(values: np.ndarray, hole: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means of pairs along an axis, of known values alone, and the remaining hole."""
    values, hole = np.moveaxis(values, axis, 0), np.moveaxis(hole, axis, 0)
    pairs = len(values) // 2
    coarse, coarse_hole = values[::2].copy(), hole[::2].copy()
    second, second_hole = values[1::2], hole[1::2]
    # A sum of halves, as a half of the sum could overflow.
    mean = np.where(second_hole, coarse[:pairs], 0.5 * coarse[:pairs] + 0.5 * second)
    coarse[:pairs] = np.where(coarse_hole[:pairs], second, mean)
    coarse_hole[:pairs] &= second_hole
    return np.moveaxis(coarse, 0, axis), np.moveaxis(coarse_hole, 0, axis)


def _double(values: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Interpolate linearly along an axis to ``length`` samples, twice as many or one less."""
    source = np.moveaxis(values, axis, 0)
    doubled = np.empty((2 * len(source), *source.shape[1:]), values.dtype)
    doubled[::2] = 0.75 * source + 0.25 * np.concatenate([source[:1], source[:-1]])
    doubled[1::2] = 0.75 * source + 0.25 * np.concatenate([source[1:], source[-1:]])
    return np.moveaxis(doubled[:length], 0, axis)
