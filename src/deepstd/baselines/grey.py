"""Conversion of a scan's values to unsigned integers for image codecs, and back.

    voxels ─ value = low + scale · level ─▶ levels from 0, 8 or 16 bits ─ codec ─▶ levels ─▶ voxels

Levels have either the scan's own bit depth, where integers are only shifted to start at 0, or are
stretched over all bits of the codec, so that it rounds as finely as it can. Signed values and CT
padding are part of the range. Restored values are rounded and clipped to the stored type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from deepstd.quality import finite_range

_BYTE = 8


@dataclass(frozen=True)
class Grey:
    """Mapping of levels to stored values: value = low + scale · level.

    Attributes:
        low: value of level 0.
        scale: stored units per level.
        bits: bit depth of the levels.
        shape: shape of the scan.
        dtype: stored type of the scan.
    """

    low: float
    scale: float
    bits: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def restore(self, slices: Iterable[np.ndarray]) -> np.ndarray:
        """Assemble a scan from decoded slices of levels, whose rows are along j."""
        restored = np.empty(self.shape, self.dtype)
        for k, levels in zip(np.ndindex(self.shape[2:]), slices, strict=True):
            values = self.low + self.scale * levels.T.astype(np.float64)
            restored[(..., *k)] = to_type(values, self.dtype)
        return restored


def own_levels(voxels: np.ndarray, max_bits: int) -> tuple[np.ndarray, Grey]:
    """Convert a scan to levels of its own bit depth, 8 to ``max_bits``; floats to ``max_bits``."""
    values = filled(voxels)
    low, high = finite_range(values)
    bits = int(high - low).bit_length()
    if voxels.dtype == np.uint8:
        low, scale, bits = 0.0, 1.0, _BYTE
    elif voxels.dtype.kind in "iu" and _BYTE <= bits <= max_bits:
        scale = 1.0
    else:
        # Stretched to 8 bits at least: with fewer, as of label maps, rounding errors of the
        # codec's transform would be visible.
        bits = max_bits if voxels.dtype.kind == "f" else max(min(bits, max_bits), _BYTE)
        scale = (high - low) / (2**bits - 1) or 1.0
    return _levels(values, low, scale, bits)


def stretched_levels(voxels: np.ndarray, bits: int, share: float = 1.0) -> tuple[np.ndarray, Grey]:
    """Stretch a scan to levels from 0 to (2^bits − 1) · share.

    A share below 1 gives a codec with few quantisation steps intermediate steps: quantising a
    smaller range is equivalent to a coarser quantiser on the whole range.
    """
    values = filled(voxels)
    low, high = finite_range(values)
    return _levels(values, low, (high - low) / ((2**bits - 1) * share) or 1.0, bits)


def slices_of(levels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield contiguous slices (i, j) with rows along j; the frames of a slice follow each other."""
    for k in np.ndindex(levels.shape[2:]):
        yield levels[(..., *k)].T.copy()


def filled(voxels: np.ndarray) -> np.ndarray:
    """Replace NaN and infinities of a scan by its smallest finite value."""
    if voxels.dtype.kind != "f":
        return voxels
    low, _ = finite_range(voxels)
    return np.where(np.isfinite(voxels), voxels, 0.0 if np.isnan(low) else low)


def to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert restored values to the type of a scan; integers are rounded and clipped."""
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
