"""Partition of a scan into blocks: the nodes of a tree whose spectra are most concentrated.

values ─ FFT of every node ─▶ concentration ─ best at most N nodes ─▶ split flags ─▶ blocks

The concentration of a block is the largest coefficient's share of all magnitudes, as in BRIEF. The
choice maximises its mean over the voxels. BRIEF solves an integer program; combining the best
choices of the halves along all axes finds the same optimum.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

Box = tuple[slice, ...]
_Choices = dict[int, tuple[float, tuple[int, ...]]]  # by number of blocks: gain, flags
_LEVELS = 3
_SHORTEST = 8  # voxels of the longest side of a block that may be split


def best_flags(values: np.ndarray, most: int) -> tuple[int, ...]:
    """Return the split flags of the best partition, in the order of `blocks`.

    Args:
        values: frame of 1 to 3 axes.
        most: largest number of blocks.
    """
    box = tuple(slice(0, length) for length in values.shape)
    choices = _choices(values - values.min(), box, 0, most)
    return max(choices.values())[1]


def blocks(shape: tuple[int, ...], flags: Iterator[int]) -> list[Box]:
    """Return the blocks of a partition.

    Args:
        shape: shape of the frame.
        flags: for each node that may be split, parents first, 1 where it is.
    """

    def under(box: Box, level: int) -> list[Box]:
        if not _may_split(box, level) or not next(flags):
            return [box]
        return [leaf for child in _children(box) for leaf in under(child, level + 1)]

    return under(tuple(slice(0, length) for length in shape), 0)


def _choices(values: np.ndarray, box: Box, level: int, most: int) -> _Choices:
    spectrum = np.abs(np.fft.rfftn(values[box]))
    share = values[box].size / values.size
    gain = share * float(spectrum.max() / (spectrum.sum() or 1.0))
    if not _may_split(box, level):
        return {1: (gain, ())}
    found: _Choices = {1: (gain, (0,))}
    children = _children(box)
    if len(children) <= most:
        together: _Choices = {0: (0.0, (1,))}
        for child in children:
            room = most - len(children) + 1
            together = _combined(together, _choices(values, child, level + 1, room), most)
        found |= together
    return found


def _combined(first: _Choices, second: _Choices, most: int) -> _Choices:
    best: _Choices = {}
    for (m, (gain, flags)), (n, (more, others)) in itertools.product(first.items(), second.items()):
        if m + n <= most and gain + more > best.get(m + n, (-1.0, ()))[0]:
            best[m + n] = gain + more, flags + others
    return best


def _may_split(box: Box, level: int) -> bool:
    return level < _LEVELS and max(_lengths(box)) > _SHORTEST


def _children(box: Box) -> list[Box]:
    halves: list[Sequence[slice]] = []
    for part in box:
        middle = (part.start + part.stop + 1) // 2
        whole = part.stop - part.start < 2
        halves.append([part] if whole else [slice(part.start, middle), slice(middle, part.stop)])
    return list(itertools.product(*halves))


def _lengths(box: Box) -> list[int]:
    return [part.stop - part.start for part in box]
