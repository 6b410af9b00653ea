"""Chances that voxels of a mask are set, learned while coding, in whole numbers.

    context (16 neighbours) ─ its counts ─┐
    nearest 10 of them ─ counts ──────────┤ each blended into the next: chance of 2⁻²⁰
    nearest 6 of them ─ counts ───────────┤
    how many of these 6 are set ──────────┘

A context that was seen rarely says little, so the counts of a shorter one stand in for so many
voxels, as in prediction by partial matching (Cleary and Witten, 1984). Nothing here is a float:
an encoder and a decoder on other machines get the same numbers.
"""

from __future__ import annotations

import numpy as np

CHANCE_BITS = 20
CERTAIN = 1 << CHANCE_BITS
# Neighbours of the shorter and shorter contexts, and voxels that the next shorter one stands for.
# Tried on heads, brains and bodies cut out by masks: 18 or 14 neighbours, and one context more or
# fewer, take 0 to 6 % more bytes on one or the other.
_ORDERS = (16, 10, 6)
_WEIGHTS = (8, 6, 4)
# A voxel is the same as its six nearest neighbours, nearly: 0.3 of a voxel says otherwise.
_DOUBT, _DOUBT_UNIT = 3, 10
# Of voxels whose neighbours are all alike, 1 in so many is expected to differ at first.
_RARE = 50


class ContextChances:
    """Counts of the voxels of one kind of pass, by context.

    Args:
        bits: neighbours in a context.
    """

    def __init__(self, bits: int) -> None:
        self._orders = [min(order, bits) for order in _ORDERS]
        self._counts = [np.zeros((2, 1 << order), np.int64) for order in self._orders]
        shortest = self._orders[-1]
        votes = np.bitwise_count(np.arange(1 << shortest)).astype(np.int64) * _DOUBT_UNIT
        self._votes = (votes + _DOUBT) * CERTAIN // (shortest * _DOUBT_UNIT + 2 * _DOUBT)
        self.seen = 0

    def of(self, contexts: np.ndarray) -> np.ndarray:
        """Return the chance of each voxel to be set, 1 to 2²⁰ − 1; (n,) int64.

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
        """Count voxels.

        Args:
            contexts: as for `of`.
            voxels: (n,) uint8, 0 or 1.
        """
        self.seen += len(voxels)
        for order, counts in zip(self._orders, self._counts, strict=True):
            entry = contexts & ((1 << order) - 1)
            np.add.at(counts, (voxels, entry), 1)


class RareChance:
    """The chance of an event that hardly ever happens, from how often it did."""

    def __init__(self) -> None:
        self.seen = self._happened = 0

    @property
    def now(self) -> int:
        """Of 2²⁰, 1 to 2²⁰ − 1."""
        chance = (_RARE * self._happened + 1) * CERTAIN // (_RARE * (self.seen + 1))
        return min(max(chance, 1), CERTAIN - 1)

    def learn(self, events: np.ndarray) -> None:
        """Count events; (n,) uint8, 0 or 1."""
        self.seen += len(events)
        self._happened += int(np.count_nonzero(events))
