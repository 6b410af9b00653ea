"""Frozen integer frequency tables, one per scale and quantiser.

    scale index ─▶ (base table, low bits) ─▶ frequencies of [escape, −R … R], sum 2**20

Scale index n stands for a logistic distribution of scale 2**((n − 20) / 4) steps. Beyond
``LAST_BASE`` a symbol is split: a base table codes its high part, and its low bits are coded as
they are, so no table grows with the scale. There are three quantisers: the scalar quantiser
(PLAIN), whose points are a step apart, and the two quantisers of TCQ (EVEN and ODD, `trellis`).

The frequencies are computed once, when a bundle is trained, and stored in the bundle: computing
them again on another machine could round differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd.errors import BundleError

SCALE_COUNT = 64
LAST_BASE = 35
PLAIN, EVEN, ODD = range(3)
QUANTIZERS = 3
SPACING = 0.625
"""Distance of neighbouring points of the union of EVEN and ODD, in steps."""
TOTAL = 1 << 20
"""Sum of the frequencies of a table."""
_BASES = LAST_BASE + 1
# Scale indices an octave, and the index of scale 1.
_OCTAVE = 4
_UNIT_INDEX = 20
# Symbols that the logistic prior counts for.
_PRIOR_WEIGHT = 200.0


def scale_of_index(index: float) -> float:
    """Return the logistic scale of a scale index, in symbols."""
    return 2.0 ** ((index - _UNIT_INDEX) / _OCTAVE)


def split_index(index: int) -> tuple[int, int]:
    """Return the base table and the number of low bits of a scale index."""
    if index <= LAST_BASE:
        return index, 0
    first_of_octave = LAST_BASE + 1 - _OCTAVE
    octaves, rest = divmod(index - first_of_octave, _OCTAVE)
    return first_of_octave + rest, octaves


def support_radius(base: int) -> int:
    """Return the largest magnitude that a base table codes without an escape."""
    return int(np.ceil(12.0 * scale_of_index(base))) + 1


@dataclass(frozen=True, eq=False)
class ScaleTables:
    """Integer frequencies of every quantiser and base table; compared and hashed by identity.

    Attributes:
        frequencies: an int64 array per quantiser (PLAIN, EVEN, ODD) and base table: the escape,
            then the symbols −R … R. Each entry is at least 1, and every table sums to 2**20.
    """

    frequencies: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        if len(self.frequencies) != len(_SIZES):
            raise BundleError(
                f"expected {len(_SIZES)} frequency tables, found {len(self.frequencies)}"
            )
        for number, (table, size) in enumerate(zip(self.frequencies, _SIZES, strict=True)):
            if table.shape != (size,) or table.min() < 1 or int(table.sum()) != TOTAL:
                raise BundleError(f"frequency table {number} is not a table of {size} entries")

    def of(self, base: int, quantizer: int = PLAIN) -> np.ndarray:
        """Return the frequencies of a base table for a quantiser."""
        return self.frequencies[quantizer * _BASES + base]

    def to_array(self) -> np.ndarray:
        """Return all tables in one int32 array, as stored in a bundle."""
        return np.concatenate(self.frequencies).astype(np.int32)

    @staticmethod
    def from_array(flat: np.ndarray) -> ScaleTables:
        """Make tables from the array of `to_array`.

        Raises:
            BundleError: the sizes do not fit.
        """
        if flat.ndim != 1 or flat.size != sum(_SIZES):
            raise BundleError(f"expected {sum(_SIZES)} frequencies, found {flat.size}")
        parts = np.split(flat.astype(np.int64), np.cumsum(_SIZES)[:-1])
        return ScaleTables(tuple(parts))


_SIZES = tuple(2 * support_radius(base) + 2 for _ in range(QUANTIZERS) for base in range(_BASES))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _logistic_probabilities(quantizer: int, base: int) -> np.ndarray:
    """Return the probabilities of a logistic distribution quantised to the nearest point.

    Returns:
        (2 R + 2,) float64: probability of the escape, then of the symbols −R … R.
    """
    radius, scale = support_radius(base), scale_of_index(base)
    symbols = np.arange(-radius - 1, radius + 2)
    points = symbols.astype(np.float64)
    if quantizer == EVEN:
        points = 2 * SPACING * symbols
    elif quantizer == ODD:
        points = SPACING * (2 * symbols - np.sign(symbols))
    edges = (points[1:] + points[:-1]) / (2 * scale)
    inside = np.diff(_sigmoid(edges))
    return np.concatenate([[max(1.0 - inside.sum(), 0.0)], inside])


def _to_frequencies(probabilities: np.ndarray) -> np.ndarray:
    room = TOTAL - probabilities.size
    table = np.floor(probabilities / probabilities.sum() * room).astype(np.int64) + 1
    table[int(np.argmax(table))] += TOTAL - int(table.sum())
    return table


def parametric_tables() -> ScaleTables:
    """Return the tables of ideal logistic distributions, for use before symbols are counted."""
    return tables_from_counts([np.zeros(size) for size in _SIZES])


def tables_from_counts(counts: list[np.ndarray]) -> ScaleTables:
    """Fit tables to observed symbols, with the logistic shape as a prior.

    Args:
        counts: count of every entry of every table, from `symbol_counts`. Tables are symmetric,
            because the sign of a residual is not predictable.
    """
    tables = []
    for number, count in enumerate(counts):
        prior = _logistic_probabilities(*divmod(number, _BASES))
        inside = 0.5 * (count[1:] + count[:0:-1])
        observed = np.concatenate([count[:1], inside])
        tables.append(_to_frequencies(observed + _PRIOR_WEIGHT * prior))
    return ScaleTables(tuple(tables))


def symbol_counts(
    symbols: np.ndarray, scale_index: np.ndarray, quantizer: np.ndarray
) -> list[np.ndarray]:
    """Count the entries that each table codes, as `tables_from_counts` takes them.

    Args:
        symbols, scale_index: symbols and their scale indices, (n,).
        quantizer: PLAIN, EVEN or ODD for each symbol, (n,).
    """
    counts = [np.zeros(size) for size in _SIZES]
    kind = quantizer.astype(np.int64) * SCALE_COUNT + scale_index
    for entry in np.unique(kind):
        of, index = divmod(int(entry), SCALE_COUNT)
        base, low_bits = split_index(index)
        radius = support_radius(base)
        high = symbols[kind == entry].astype(np.int64) >> low_bits
        entries = np.where(np.abs(high) > radius, 0, high + radius + 1)
        number = of * _BASES + base
        counts[number] += np.bincount(entries, minlength=_SIZES[number])
    return counts


def magnitude_bits(tables: ScaleTables, quantizer: int, largest: int) -> np.ndarray:
    """Return the bits of magnitudes 0 … ``largest``, signs included: (64, largest + 1).

    Rows are scale indices. Rows of scales that split symbols are zero: neighbouring symbols cost
    the same there.
    """
    bits = np.zeros((SCALE_COUNT, largest + 1))
    for index in range(SCALE_COUNT):
        base, low_bits = split_index(index)
        if not low_bits:
            radius = support_radius(base)
            entries = [radius + 1 + m if m <= radius else 0 for m in range(largest + 1)]
            bits[index] = -np.log2(tables.of(base, quantizer)[entries] / TOTAL)
    return bits
