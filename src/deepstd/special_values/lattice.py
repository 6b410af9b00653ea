"""The passes that code a mask from a coarse lattice to all voxels, and the neighbours of each.

    1 voxel ─ split axes ─▶ lattice ─ pass by parity ─▶ … ─▶ every voxel

A lattice holds every 2ⁿ-th voxel along each axis. Each level halves the distance along some axes.
The new voxels of a level fall into up to seven classes by the parity of their place, coded one
class after the other. So a voxel sees known neighbours on all sides, and all voxels of a pass are
independent of each other: numpy codes and decodes a pass at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CONTEXT_BITS = 16
"""Known neighbours that make a context, at most."""
LARGEST_COARSENESS = 3
_REACH = 2
# What lies beyond the frame counts as masked, as backgrounds surround what is in them.
_BEYOND = 1

Parity = tuple[int, ...]


@dataclass(frozen=True)
class Pass:
    """The voxels of one parity class of a level.

    Attributes:
        parity: of their place on the level's lattice; 0 along an axis that is not split.
        steps: distance between neighbouring voxels of the class on the lattice, 1 or 2 an axis.
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
        shape: of the lattice after it.
        stride: voxels of the frame between neighbouring voxels of the lattice, an axis.
        split: axes whose distance is halved.
        passes: in coding order.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    split: tuple[int, ...]
    passes: tuple[Pass, ...]


def levels(shape: Sequence[int], coarseness: Sequence[int]) -> Iterator[Level]:
    """Yield the levels of a frame from coarse to fine.

    Args:
        shape: voxels along each axis.
        coarseness: octaves by which voxels are thicker than along the finest axis, each axis.
            Thick axes are split later when seen from fine to coarse.
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
    """Return the passes of a level whose lattice has such distances, in octaves."""
    ndim = len(distances)
    steps = tuple(2 if axis in split else 1 for axis in range(ndim))
    choices = [range(step) for step in reversed(steps)]
    parities = [tuple(reversed(parity)) for parity in itertools.product(*choices)]
    # The nearest along thick axes are far: squared distances, in integers.
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
    """The voxels of one level, known ones and those still to be coded, with a border.

    Args:
        level: its geometry.
        known: uint8 voxels of the level before.
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
        """Return a view of the voxels of a pass, or of those at an offset from them."""
        first = [_REACH + p for p in part.parity]
        if offset is not None:
            first = [f + o for f, o in zip(first, offset, strict=True)]
        counts = part.lengths(self.voxels.shape)
        ends = [f + (n - 1) * s + 1 for f, n, s in zip(first, counts, part.steps, strict=True)]
        return self._padded[tuple(map(slice, first, ends, part.steps))]

    def contexts(self, part: Pass) -> np.ndarray:
        """Return what is known around each voxel of a pass, the nearest in the lowest bit; (n,)."""
        found = np.zeros(part.lengths(self.voxels.shape), np.uint16)
        shifted = np.empty_like(found)
        for bit, offset in enumerate(part.neighbours):
            np.left_shift(self.of(part, offset), bit, out=shifted, dtype=np.uint16)
            found |= shifted
        return found.reshape(-1)


def coarseness_of(mask: np.ndarray) -> tuple[int, ...]:
    """Return how much more often a mask changes along each axis than along the calmest, in octaves.

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
