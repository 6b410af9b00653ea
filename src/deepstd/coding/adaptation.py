"""What a scan tells of the scales that its model expects: an offset to the scale index of a band.

    symbols, scale indices of a band ─ bits with each offset ─▶ the best one, coded before them

A scan unlike those that a network learned from has larger or smaller residuals than it expects,
much alike over a band of one pass. In scans like those the offset is 0 nearly always, and costs
nearly nothing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from deepstd.coding.tables import SCALE_COUNT, ScaleTables, split_index, support_radius

LARGEST_OFFSET = 4
FEWEST_SYMBOLS = 256
"""A band of fewer in a pass has no offset."""
# Of offsets −4 … 4, of 2**20.
OFFSET_FREQUENCIES = np.array([2048, 3072, 5120, 10752, 1006592, 10752, 5120, 3072, 2048])
_OFFSETS = np.arange(-LARGEST_OFFSET, LARGEST_OFFSET + 1)
# Magnitudes are classed: each of the small ones, then four classes an octave.
_CLASSES, _SMALL = 64, 32
_ESCAPE_OVERHEAD = 6
_BIT = 1 << 20


def shifted(scale_index: np.ndarray, offset: int | np.ndarray) -> np.ndarray:
    """Scale indices (uint8) with an offset, kept within the tables."""
    return np.clip(scale_index.astype(np.int16) + offset, 0, SCALE_COUNT - 1).astype(np.uint8)


def best_offsets(
    symbols: np.ndarray, scale_index: np.ndarray, counts: np.ndarray, tables: ScaleTables
) -> np.ndarray:
    """The offset of each band that saves the most bits; 0 for those that have none.

    Args:
        symbols, scale_index: of all bands, one after the other.
        counts: symbols of each band.
        tables: that they are coded with.
    """
    cells = SCALE_COUNT * _CLASSES
    entry = scale_index.astype(np.int64) * _CLASSES + _class_of(np.abs(symbols))
    entry += np.repeat(np.arange(len(counts)) * cells, counts)
    found = np.bincount(entry, minlength=len(counts) * cells).reshape(len(counts), cells)
    bits = found @ bits_by_offset(tables) + OWN_BITS
    return np.where(counts < FEWEST_SYMBOLS, 0, _OFFSETS[bits.argmin(1)])


@lru_cache(maxsize=16)
def bits_by_offset(tables: ScaleTables) -> np.ndarray:
    """Return the bits of each scale index and class, (64 * 64, offsets) int64.

    In units of 2**-20 bits: sums of whole numbers are the same in any order.
    """
    bits = np.stack([_bits_of_classes(tables, index) for index in range(SCALE_COUNT)])
    indices = shifted(np.arange(SCALE_COUNT), _OFFSETS[:, None])
    return _whole(np.ascontiguousarray(bits[indices].reshape(len(_OFFSETS), -1).T))


def _whole(bits: np.ndarray) -> np.ndarray:
    return np.rint(bits * _BIT).astype(np.int64)


def _class_of(magnitudes: np.ndarray) -> np.ndarray:
    large = _SMALL + np.searchsorted(LARGE_CLASSES, magnitudes, side="right")
    return np.where(magnitudes < _SMALL, magnitudes, large)


def _first_of_class(octave_quarters: int) -> int:
    """Return the smallest magnitude so many quarters of an octave above the small ones."""
    magnitude = _SMALL
    while magnitude**4 < _SMALL**4 << octave_quarters:
        magnitude += 1
    return magnitude


def _typical_magnitudes() -> np.ndarray:
    """A magnitude of each class."""
    octaves = (np.arange(_CLASSES - _SMALL) + 0.5) / 4
    return np.concatenate([np.arange(_SMALL), np.rint(_SMALL * 2.0**octaves)]).astype(np.int64)


def _bits_of_classes(tables: ScaleTables, index: int) -> np.ndarray:
    """Bits of symbols of each class, both signs averaged, at a scale index."""
    base, low_bits = split_index(index)
    frequencies, radius = tables.of(base), support_radius(base)
    of_entry = 20.0 - np.log2(frequencies)
    magnitudes = _typical_magnitudes()
    total = np.zeros(_CLASSES)
    for values in (magnitudes, -magnitudes):
        high = values >> low_bits
        excess = np.maximum(np.abs(high) - radius, 0)
        escape = of_entry[0] + _ESCAPE_OVERHEAD + 2 * np.ceil(np.log2(excess + 1))
        inside = of_entry[np.clip(high, -radius, radius) + radius + 1]
        total += np.where(excess > 0, escape, inside) + low_bits
    return total / 2


LARGE_CLASSES = np.array([_first_of_class(n) for n in range(1, _CLASSES - _SMALL)], np.int64)
"""First magnitude of each class from the second large one on, (31,)."""
OWN_BITS = _whole(20.0 - np.log2(OFFSET_FREQUENCIES))
"""Bits of each offset itself, (offsets,) int64, in units of 2**-20 bits."""
