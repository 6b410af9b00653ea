"""Grey values of a scan as the whole numbers that a codec of images takes, and back.

    voxels ─ value = low + scale · level ─▶ levels from 0, 8 or 16 bits ─ codec ─▶ levels ─▶ voxels

Either in the scan's own bit depth, where integers are only shifted to start at 0, or stretched over
all bits that the codec has, so that it rounds as finely as it can. Signed values and CT padding are
part of the range like any other. The restored values are rounded and clipped to the stored type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from deepstd.quality import finite_range

_BYTE = 8


@dataclass(frozen=True)
class Grey:
    """How levels become stored values again: value = low + scale · level.

    Attributes:
        low: value of level 0.
        scale: stored units per level.
        bits: of the levels.
        shape, dtype: of the scan.
    """

    low: float
    scale: float
    bits: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def restore(self, slices: Iterable[np.ndarray]) -> np.ndarray:
        """A scan of the decoded slices, which have their rows along j."""
        restored = np.empty(self.shape, self.dtype)
        for k, levels in zip(np.ndindex(self.shape[2:]), slices, strict=True):
            values = self.low + self.scale * levels.T.astype(np.float64)
            restored[(..., *k)] = to_type(values, self.dtype)
        return restored


def own_levels(voxels: np.ndarray, max_bits: int) -> tuple[np.ndarray, Grey]:
    """Levels in the scan's own bit depth, from 8 to ``max_bits``; floats have ``max_bits``."""
    values = filled(voxels)
    low, high = finite_range(values)
    bits = int(high - low).bit_length()
    if voxels.dtype == np.uint8:
        low, scale, bits = 0.0, 1.0, _BYTE
    elif voxels.dtype.kind in "iu" and _BYTE <= bits <= max_bits:
        scale = 1.0
    else:
        # Fewer than 8 bits would let the rounding of the transform show: label maps are stretched.
        bits = max_bits if voxels.dtype.kind == "f" else max(min(bits, max_bits), _BYTE)
        scale = (high - low) / (2**bits - 1) or 1.0
    return _levels(values, low, scale, bits)


def stretched_levels(voxels: np.ndarray, bits: int, share: float = 1.0) -> tuple[np.ndarray, Grey]:
    """Levels from 0 to (2^bits − 1) · share, whatever the range of the scan.

    A share below 1 coarsens a quantiser that has only whole steps: what it does to fewer levels
    is what a coarser one would do to all.
    """
    values = filled(voxels)
    low, high = finite_range(values)
    return _levels(values, low, (high - low) / ((2**bits - 1) * share) or 1.0, bits)


def slices_of(levels: np.ndarray) -> Iterator[np.ndarray]:
    """Contiguous slices (i, j), rows along j; of 4 axes, the frames of a slice are neighbours."""
    for k in np.ndindex(levels.shape[2:]):
        yield levels[(..., *k)].T.copy()


def filled(voxels: np.ndarray) -> np.ndarray:
    """The scan with its smallest finite value in place of NaN and infinity."""
    if voxels.dtype.kind != "f":
        return voxels
    low, _ = finite_range(voxels)
    return np.where(np.isfinite(voxels), voxels, 0.0 if np.isnan(low) else low)


def to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Restored values in a scan's own type; integers are rounded and clipped."""
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return values.astype(dtype)


def _levels(values: np.ndarray, low: float, scale: float, bits: int) -> tuple[np.ndarray, Grey]:
    levels = np.empty(values.shape, np.uint8 if bits <= _BYTE else np.uint16)
    for k in np.ndindex(values.shape[2:]):
        part = (..., *k)
        levels[part] = np.rint((values[part].astype(np.float64) - low) / scale)
    return levels, Grey(low, scale, bits, values.shape, values.dtype)
