"""Scale offsets of subbands: side information that corrects the predicted scales of a model.

    symbols, scale indices of a band ─ bits with each offset ─▶ best offset, coded before the band

A scan unlike the training scans has larger or smaller residuals than the entropy model predicts,
by about the same factor over a band of one pass. In scans like the training scans the offset is
nearly always 0 and costs nearly nothing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from deepstd.coding.tables import SCALE_COUNT, ScaleTables, split_index, support_radius

LARGEST_OFFSET = 4
FEWEST_SYMBOLS = 256
"""Bands of fewer symbols in a pass have no offset."""
# Frequencies of the offsets −4 … 4, of 2**20.
OFFSET_FREQUENCIES = np.array([2048, 3072, 5120, 10752, 1006592, 10752, 5120, 3072, 2048])
_OFFSETS = np.arange(-LARGEST_OFFSET, LARGEST_OFFSET + 1)
# Classes of magnitudes: one for each magnitude below 32, then four an octave.
_CLASSES, _SMALL = 64, 32
# Bits that hold the length of an escaped magnitude.
_ESCAPE_OVERHEAD = 6
_BIT = 1 << 20


def shifted(scale_index: np.ndarray, offset: int | np.ndarray) -> np.ndarray:
    """Add an offset to scale indices (uint8) and clip them to the tables."""
    return np.clip(scale_index.astype(np.int16) + offset, 0, SCALE_COUNT - 1).astype(np.uint8)


def best_offsets(
    symbols: np.ndarray, scale_index: np.ndarray, counts: np.ndarray, tables: ScaleTables
) -> np.ndarray:
    """Return the offset of each band that saves the most bits, (bands,).

    Bands of fewer than `FEWEST_SYMBOLS` symbols have offset 0.

    Args:
        symbols, scale_index: symbols of a pass and their scale indices, band after band, (n,).
        counts: symbols of each band, (bands,).
        tables: frequencies.
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
    """Return a magnitude of each class, (64,) int64."""
    octaves = (np.arange(_CLASSES - _SMALL) + 0.5) / 4
    return np.concatenate([np.arange(_SMALL), np.rint(_SMALL * 2.0**octaves)]).astype(np.int64)


def _bits_of_classes(tables: ScaleTables, index: int) -> np.ndarray:
    """Return the bits of symbols of each class at a scale index, both signs averaged, (64,)."""
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
