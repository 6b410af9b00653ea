"""Overlap of two segmentations.

label maps ─ per label ─ 2 |A ∩ B| / (|A| + |B|) ─▶ Dice
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.errors import InputError


def labels_of(*maps: np.ndarray) -> list[int]:
    """Return the labels above 0 that occur in any of the maps, in ascending order."""
    found = np.unique(np.concatenate([np.unique(labels) for labels in maps]))
    return [int(label) for label in found if label > 0]


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice coefficient of two masks, 0 to 1; NaN where both are empty.

    Raises:
        InputError: the shapes differ.
    """
    one, other = masks(one, other)
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else math.nan


def masks(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert two masks to bool.

    Raises:
        InputError: the shapes differ.
    """
    if one.shape != other.shape:
        raise InputError(
            f"cannot compare segmentations of shapes {one.shape} and {other.shape}: expected equal"
        )
    return one.astype(bool), other.astype(bool)
