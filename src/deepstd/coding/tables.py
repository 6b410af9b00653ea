"""Frozen integer frequency tables, one per scale.

    scale index ─▶ (base table, low bits) ─▶ frequencies of [escape, −R … R], sum 2**20

Scale index n stands for a logistic distribution of scale 2**((n − 20) / 4) symbols. Beyond
``LAST_BASE`` a symbol is split: its high part is coded with a base table and its low bits are
coded as they are, so no table grows with the scale.

The frequencies are made once, when a bundle is trained, and stored in it: computing them again
on another machine could round differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd.errors import BundleError

SCALE_COUNT = 64
LAST_BASE = 35
_OCTAVE = 4
_UNIT_INDEX = 20
_TOTAL = 1 << 20
_PRIOR_WEIGHT = 200.0


def scale_of_index(index: float) -> float:
    """Logistic scale, in symbols, that a scale index stands for."""
    return 2.0 ** ((index - _UNIT_INDEX) / _OCTAVE)


def split_index(index: int) -> tuple[int, int]:
    """Base table and number of low bits used for a scale index."""
    if index <= LAST_BASE:
        return index, 0
    first_of_octave = LAST_BASE + 1 - _OCTAVE
    octaves, rest = divmod(index - first_of_octave, _OCTAVE)
    return first_of_octave + rest, octaves


def support_radius(base: int) -> int:
    """Largest magnitude that a base table codes without an escape."""
    return int(np.ceil(12.0 * scale_of_index(base))) + 1


@dataclass(frozen=True, eq=False)
class ScaleTables:
    """Integer frequencies for every base table; compared and hashed by identity.

    Attributes:
        frequencies: one int64 array per base table: escape first, then symbols −R … R; each
            entry at least 1 and every table summing to 2**20.
    """

    frequencies: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        if len(self.frequencies) != LAST_BASE + 1:
            raise BundleError(
                f"expected {LAST_BASE + 1} frequency tables, found {len(self.frequencies)}"
            )
        for base, table in enumerate(self.frequencies):
            expected = 2 * support_radius(base) + 2
            if table.shape != (expected,) or table.min() < 1 or int(table.sum()) != _TOTAL:
                raise BundleError(f"frequency table {base} is not a table of {expected} entries")

    def to_array(self) -> np.ndarray:
        """All tables in one int32 array, as stored in a bundle."""
        return np.concatenate(self.frequencies).astype(np.int32)

    @staticmethod
    def from_array(flat: np.ndarray) -> ScaleTables:
        """Inverse of `to_array`; raises BundleError when the sizes do not fit."""
        sizes = [2 * support_radius(base) + 2 for base in range(LAST_BASE + 1)]
        if flat.ndim != 1 or flat.size != sum(sizes):
            raise BundleError(f"expected {sum(sizes)} frequencies, found {flat.size}")
        parts = np.split(flat.astype(np.int64), np.cumsum(sizes)[:-1])
        return ScaleTables(tuple(parts))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _logistic_probabilities(base: int) -> np.ndarray:
    radius, scale = support_radius(base), scale_of_index(base)
    edges = (np.arange(-radius, radius + 2) - 0.5) / scale
    inside = np.diff(_sigmoid(edges))
    return np.concatenate([[max(1.0 - inside.sum(), 0.0)], inside])


def _to_frequencies(probabilities: np.ndarray) -> np.ndarray:
    room = _TOTAL - probabilities.size
    table = np.floor(probabilities / probabilities.sum() * room).astype(np.int64) + 1
    table[int(np.argmax(table))] += _TOTAL - int(table.sum())
    return table


def parametric_tables() -> ScaleTables:
    """Tables of ideal logistic distributions, for use before any counts are known."""
    return ScaleTables(
        tuple(_to_frequencies(_logistic_probabilities(b)) for b in range(LAST_BASE + 1))
    )


def tables_from_counts(counts: list[np.ndarray]) -> ScaleTables:
    """Tables fitted to observed symbols, with the logistic shape as a prior.

    Args:
        counts: for every base table, how often [escape, −R … R] occurred. Counts are made
            symmetric: the sign of a residual is not predictable.
    """
    tables = []
    for base, count in enumerate(counts):
        prior = _logistic_probabilities(base)
        inside = 0.5 * (count[1:] + count[:0:-1])
        observed = np.concatenate([count[:1], inside])
        tables.append(_to_frequencies(observed + _PRIOR_WEIGHT * prior))
    return ScaleTables(tuple(tables))


def symbol_counts(symbols: np.ndarray, scale_index: np.ndarray) -> list[np.ndarray]:
    """How often each base table codes each of its entries; the input of `tables_from_counts`."""
    counts = [np.zeros(2 * support_radius(b) + 2) for b in range(LAST_BASE + 1)]
    for index in np.unique(scale_index):
        base, low_bits = split_index(int(index))
        radius = support_radius(base)
        high = symbols[scale_index == index].astype(np.int64) >> low_bits
        entries = np.where(np.abs(high) > radius, 0, high + radius + 1)
        counts[base] += np.bincount(entries, minlength=counts[base].size)
    return counts
