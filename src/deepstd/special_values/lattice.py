"""Coding order of a mask, from a coarse lattice to all voxels, and the neighbours of each pass.

    1 voxel ─ split axes ─▶ lattice ─ pass by parity ─▶ … ─▶ every voxel

A lattice holds every 2ⁿ-th voxel along each axis. Each level halves the distance along some axes.
The new voxels of a level form up to seven classes by the parity of their coordinates. Classes are
coded one after the other, so a voxel has known neighbours on all sides. The voxels of a class do
not depend on each other, so NumPy codes a whole pass at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CONTEXT_BITS = 16
"""Most known neighbours in a context."""
LARGEST_COARSENESS = 3
_REACH = 2  # voxels of the lattice, along each axis
# Value of voxels beyond the frame: set, as a background usually reaches the border.
_BEYOND = 1

Parity = tuple[int, ...]


@dataclass(frozen=True)
class Pass:
    """The voxels of one parity class of a level.

    Attributes:
        parity: parity of their coordinates on the level's lattice; 0 along an unsplit axis.
        steps: distance between neighbouring voxels of the class on the lattice, 1 or 2 per axis.
        neighbours: offsets on the lattice of known voxels, the nearest first.
    """

    parity: Parity
    steps: tuple[int, ...]
    neighbours: tuple[tuple[int, ...], ...]

    def lengths(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the number of voxels of the class along each axis of a lattice."""
        return tuple(
            len(range(parity, length, step))
            for parity, length, step in zip(self.parity, shape, self.steps, strict=True)
        )


@dataclass(frozen=True)
class Level:
    """One refinement of the lattice.

    Attributes:
        shape: shape of the refined lattice.
        stride: distance of neighbouring lattice voxels in voxels of the frame, per axis.
        split: axes along which the distance is halved.
        passes: passes in coding order.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    split: tuple[int, ...]
    passes: tuple[Pass, ...]


def levels(shape: Sequence[int], coarseness: Sequence[int]) -> Iterator[Level]:
    """Yield the levels of a frame from coarse to fine.

    Args:
        shape: voxels along each axis.
        coarseness: log2 of the voxel size along each axis relative to the finest axis. From fine
            to coarse, thicker axes are halved at later levels.
    """
    plan, lengths, sizes = [], list(shape), list(coarseness)
    stride = [1] * len(lengths)
    while max(lengths) > 1:
        finest = min(size for size, n in zip(sizes, lengths, strict=True) if n > 1)
        split = tuple(a for a, n in enumerate(lengths) if n > 1 and sizes[a] == finest)
        plan.append((tuple(lengths), tuple(stride), split, tuple(sizes)))
        for axis in split:
            lengths[axis] = (lengths[axis] + 1) // 2
            stride[axis] *= 2
            sizes[axis] += 1
    for now, apart, split, distances in reversed(plan):
        nearest = min(distances)
        yield Level(now, apart, split, _passes(split, tuple(d - nearest for d in distances)))


@lru_cache(maxsize=64)
def _passes(split: tuple[int, ...], distances: tuple[int, ...]) -> tuple[Pass, ...]:
    """Return the passes of a level.

    Args:
        split: axes along which the lattice is refined.
        distances: log2 of the distance between lattice voxels along each axis, the least 0.
    """
    ndim = len(distances)
    steps = tuple(2 if axis in split else 1 for axis in range(ndim))
    choices = [range(step) for step in reversed(steps)]
    parities = [tuple(reversed(parity)) for parity in itertools.product(*choices)]
    # Squared distances, in integers; neighbours along thick axes are farther.
    weights = [4 ** min(distance, 8) for distance in distances]
    offsets = sorted(
        itertools.product(range(-_REACH, _REACH + 1), repeat=ndim),
        key=lambda offset: (sum(w * o * o for w, o in zip(weights, offset, strict=True)), offset),
    )
    found = []
    for number, parity in enumerate(parities[1:], 1):
        known = set(parities[:number])
        near = [
            offset
            for offset in offsets
            if tuple((p + o) % s for p, o, s in zip(parity, offset, steps, strict=True)) in known
        ]
        found.append(Pass(parity, steps, tuple(near[:CONTEXT_BITS])))
    return tuple(found)


class Lattice:
    """Voxels of one level, known and still to be coded, with a border.

    Args:
        level: geometry of the level.
        known: uint8 voxels of the coarser level.
    """

    def __init__(self, level: Level, known: np.ndarray) -> None:
        self._padded = np.full([n + 2 * _REACH for n in level.shape], _BEYOND, np.uint8)
        steps = [2 if axis in level.split else 1 for axis in range(len(level.shape))]
        self.voxels[tuple(slice(None, None, step) for step in steps)] = known

    @property
    def voxels(self) -> np.ndarray:
        """The voxels without the border, a view."""
        return self._padded[(slice(_REACH, -_REACH),) * self._padded.ndim]

    def of(self, part: Pass, offset: Sequence[int] | None = None) -> np.ndarray:
        """Return a view of the voxels of a pass, or of the voxels at an offset from them."""
        first = [_REACH + p for p in part.parity]
        if offset is not None:
            first = [f + o for f, o in zip(first, offset, strict=True)]
        counts = part.lengths(self.voxels.shape)
        ends = [f + (n - 1) * s + 1 for f, n, s in zip(first, counts, part.steps, strict=True)]
        return self._padded[tuple(map(slice, first, ends, part.steps))]

    def contexts(self, part: Pass) -> np.ndarray:
        """Return the context of each voxel of a pass, nearest neighbour in the lowest bit; (n,)."""
        found = np.zeros(part.lengths(self.voxels.shape), np.uint16)
        shifted = np.empty_like(found)
        for bit, offset in enumerate(part.neighbours):
            np.left_shift(self.of(part, offset), bit, out=shifted, dtype=np.uint16)
            found |= shifted
        return found.reshape(-1)


def coarseness_of(mask: np.ndarray) -> tuple[int, ...]:
    """Estimate the relative voxel size of a mask along each axis, as log2.

    An axis along which the mask changes twice as often as along the axis with the fewest changes
    counts as twice as coarse.

    Args:
        mask: bool, any number of axes.

    Returns:
        0 to `LARGEST_COARSENESS` for each axis.
    """
    shares = []
    for axis, length in enumerate(mask.shape):
        planes = np.moveaxis(mask, axis, 0)
        changed = np.count_nonzero(planes[1:] != planes[:-1])
        shares.append(changed / (max(length - 1, 1) * (mask.size // length)))
    positive = [share for share in shares if share > 0]
    if not positive:
        return (0,) * mask.ndim
    octaves = (round(np.log2(max(share, min(positive)) / min(positive))) for share in shares)
    return tuple(min(int(octave), LARGEST_COARSENESS) for octave in octaves)
