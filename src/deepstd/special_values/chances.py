"""Adaptive probabilities of mask voxels, in integers.

    context (16 neighbours) ─ its counts ─┐
    nearest 10 of them ─ counts ──────────┤ each blended into the next: probability in 2⁻²⁰
    nearest 6 of them ─ counts ───────────┤
    number of these 6 that are set ───────┘

The counts of a rare context are unreliable. The estimate of the next shorter context is therefore
blended in with the weight of some voxels, as in prediction by partial matching (Cleary and Witten,
1984). All arithmetic is in integers, so encoder and decoder agree on every machine.
"""

from __future__ import annotations

import numpy as np

CHANCE_BITS = 20
CERTAIN = 1 << CHANCE_BITS
# Neighbours of each context, and weight of the next shorter context in voxels. Measured on masks of
# heads, brains and bodies: 18 or 14 neighbours, and one context more or fewer, take 0 to 6 % more
# bytes on some of them.
_ORDERS = (16, 10, 6)
_WEIGHTS = (8, 6, 4)
# Pseudo-count of either value in the initial estimate, 0.3 voxels: a voxel nearly always equals its
# six nearest neighbours.
_DOUBT, _DOUBT_UNIT = 3, 10
# Initial estimate: 1 in 50 voxels differs where all neighbours are equal.
_RARE = 50


class ContextChances:
    """Adaptive binary probabilities of the voxels of one kind of pass, by context.

    Args:
        bits: number of neighbours in the longest context.
    """

    def __init__(self, bits: int) -> None:
        self._orders = [min(order, bits) for order in _ORDERS]
        self._counts = [np.zeros((2, 1 << order), np.int64) for order in self._orders]
        shortest = self._orders[-1]
        votes = np.bitwise_count(np.arange(1 << shortest)).astype(np.int64) * _DOUBT_UNIT
        self._votes = (votes + _DOUBT) * CERTAIN // (shortest * _DOUBT_UNIT + 2 * _DOUBT)
        self.seen = 0

    def of(self, contexts: np.ndarray) -> np.ndarray:
        """Return the probability that each voxel is set, 1 to 2²⁰ − 1 in units of 2⁻²⁰; (n,) int64.

        Args:
            contexts: (n,) unsigned integers, the nearest neighbour in the lowest bit.
        """
        chances = self._votes[contexts & ((1 << self._orders[-1]) - 1)]
        steps = zip(self._orders, self._counts, _WEIGHTS, strict=True)
        for order, (clear, filled), weight in reversed(list(steps)):
            entry = contexts & ((1 << order) - 1)
            ones = filled[entry]
            total = ones + clear[entry] + weight
            chances = (ones * CERTAIN + weight * chances) // total
        return np.clip(chances, 1, CERTAIN - 1)

    def learn(self, contexts: np.ndarray, voxels: np.ndarray) -> None:
        """Update the counts with coded voxels.

        Args:
            contexts: (n,) unsigned integers, the nearest neighbour in the lowest bit.
            voxels: (n,) uint8, 0 or 1.
        """
        self.seen += len(voxels)
        for order, counts in zip(self._orders, self._counts, strict=True):
            entry = contexts & ((1 << order) - 1)
            np.add.at(counts, (voxels, entry), 1)


class RareChance:
    """Adaptive probability of a rare event."""

    def __init__(self) -> None:
        self.seen = self._happened = 0

    @property
    def now(self) -> int:
        """Current probability, 1 to 2²⁰ − 1 in units of 2⁻²⁰."""
        chance = (_RARE * self._happened + 1) * CERTAIN // (_RARE * (self.seen + 1))
        return min(max(chance, 1), CERTAIN - 1)

    def learn(self, events: np.ndarray) -> None:
        """Update the estimate with events; (n,) uint8, 0 or 1."""
        self.seen += len(events)
        self._happened += int(np.count_nonzero(events))
