"""Levels in patches as masks: one for every region of a label map, cut to its box.

    levels ┬ by value: one mask of each but the commonest ┬ box ─ order of axes ─▶ slab ─▶ stream
           └ by bit: one mask of each bit that is set ────┘

The coder of slabs takes levels for grey values, between which it interpolates. Numbers of regions
have no such order: a mask of each region takes half the bytes where there are many. Bits suit maps
of regions that overlap. Every frame has masks of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deepstd.errors import DamagedError
from deepstd.lossless.arrangement import ORDERS, Arrangement
from deepstd.lossless.fields import Reader, block, number

BY_VALUE, BY_BIT = 0, 1
"""Ways to divide levels into masks."""
# Most values of a map, and voxels of all boxes for each voxel of the scan: both bound the time.
_MOST_VALUES, _MOST_WORK = 256, 16
_MOST_AT_ONCE = 1 << 24  # voxels of masks in memory
# Share of neighbours inside regions that are equal. It is above 0.8 in maps of organs, and below
# 0.3 in 8-bit grey values.
_EQUAL_SHARE = 0.6
_SAMPLE = 1 << 16


class Slabs(Protocol):
    """Coder of slabs of levels 0 and 1."""

    def encode(self, slabs: Sequence[np.ndarray]) -> list[bytes]:
        """Return the bytes of slabs (slices, rows, columns), int32, contiguous."""
        ...

    def decode(self, streams: Sequence[bytes], slabs: Sequence[np.ndarray]) -> None:
        """Fill slabs with what was encoded."""
        ...


def in_patches(values: np.ndarray) -> bool:
    """Return True if values are few, and mostly equal to their neighbours, as numbers of regions.

    Args:
        values: numbers of 1 to 4 axes, integers or booleans.
    """
    flat = values.ravel(order="K")
    if len(np.unique(flat[:: max(1, flat.size // _SAMPLE)])) > _MOST_VALUES:
        return False
    found, counts = np.unique(values, return_counts=True)
    if not 1 < len(found) <= _MOST_VALUES:
        return False
    background = found[counts.argmax()]
    # Neighbours along the axes, save both in the background, which grey values may have, too.
    equal = pairs = 0
    for axis in range(min(values.ndim, 3)):
        planes = np.moveaxis(values, axis, 0)
        first, second = planes[:-1], planes[1:]
        inside = (first != background) & (second != background)
        pairs += np.count_nonzero(inside)
        equal += np.count_nonzero(inside & (first == second))
    return len(found) == 2 or bool(equal >= _EQUAL_SHARE * pairs)


@dataclass(frozen=True)
class _Mask:
    """A region: its frame, its level or bit, and the first voxel and the sizes of its box."""

    frame: int
    key: int
    first: tuple[int, int, int]
    sizes: tuple[int, int, int]

    @property
    def place(self) -> tuple[slice | int, ...]:
        """Index of the box among all frames."""
        box = (slice(a, a + n) for a, n in zip(self.first, self.sizes, strict=True))
        return (*box, self.frame)

    @property
    def work(self) -> int:
        """Voxels of the box."""
        return math.prod(self.sizes)


def encode(levels: np.ndarray, way: int, slabs: Slabs) -> bytes | None:
    """Return levels as masks; None where the masks would take too much time.

    Args:
        levels: int32 from 0 on, 1 to 4 axes, at most 256 distinct ones.
        way: `BY_VALUE` or `BY_BIT`.
        slabs: coder of slabs.
    """
    frames = _frames(levels)
    counts = np.bincount(frames.reshape(-1))
    rest = int(counts.argmax()) if way == BY_VALUE else 0
    masks = list(_found(frames, np.flatnonzero(counts), way, rest))
    if sum(mask.work for mask in masks) > _MOST_WORK * levels.size:
        return None
    out = [number(rest), number(len(masks))]
    for some in _groups(masks):
        parts = [_inside(frames[mask.place], mask.key, way) for mask in some]
        arranged = [Arrangement.of(part) for part in parts]
        stacks = [one.stacked(part) for one, part in zip(arranged, parts, strict=True)]
        for mask, one, stream in zip(some, arranged, slabs.encode(stacks), strict=True):
            numbers = (mask.key, *mask.first, *(size - 1 for size in mask.sizes))
            out += [number(mask.frame)] if frames.shape[3] > 1 else []
            out += [*map(number, numbers), bytes([one.order]), block(stream)]
    return b"".join(out)


def decode(reader: Reader, shape: tuple[int, ...], most: int, way: int, slabs: Slabs) -> np.ndarray:
    """Return the levels (int32) of the masks that follow in a payload.

    Raises:
        DamagedError: they are not masks of such a scan.
    """
    frames = _frames(np.empty(shape, np.int32))
    rest, count = reader.number(), reader.number()
    masks, coded, work = [], {}, 0
    for _ in range(count):
        mask, order = _read(reader, frames.shape)
        work += mask.work
        if order >= len(ORDERS) or work > _MOST_WORK * frames.size:
            raise DamagedError("the masks in the lossless data are larger than those of a scan")
        masks.append(mask)
        coded[mask] = Arrangement(mask.sizes, order), reader.block()
    largest = [1 << min(mask.key, 32) if way == BY_BIT else mask.key for mask in masks]
    if max(rest, *largest, 0) > most or len(coded) < count:
        raise DamagedError(f"a mask in the lossless data comes twice, or has a level above {most}")
    frames[...] = rest
    for some in _groups(masks):
        stacks = [np.zeros(coded[mask][0].stack, np.int32) for mask in some]
        slabs.decode([coded[mask][1] for mask in some], stacks)
        for mask, stack in zip(some, stacks, strict=True):
            part, inside = frames[mask.place], coded[mask][0].restored(stack)
            if way == BY_BIT:
                part |= inside << mask.key
            else:
                part[inside > 0] = mask.key
    if way == BY_BIT and frames.max() > most:
        raise DamagedError(f"the masks in the lossless data give a level above {most}")
    return frames.reshape(shape)


def _read(reader: Reader, shape: tuple[int, ...]) -> tuple[_Mask, int]:
    """Read place and level of a mask, and the order of its axes."""
    frame = reader.number() if shape[3] > 1 else 0
    key, a, b, c, *less = (reader.number() for _ in range(7))
    sizes = (less[0] + 1, less[1] + 1, less[2] + 1)
    ends = (a + sizes[0], b + sizes[1], c + sizes[2], frame + 1)
    if any(end > length for end, length in zip(ends, shape, strict=True)):
        raise DamagedError("a mask in the lossless data lies outside of the scan")
    return _Mask(frame, key, (a, b, c), sizes), reader.take(1)[0]


def _found(frames: np.ndarray, values: np.ndarray, way: int, rest: int) -> Iterator[_Mask]:
    """Yield the regions of each frame: of each value but the rest, or of each bit."""
    ranks = np.zeros(int(values[-1]) + 1, np.uint8)
    ranks[values] = np.arange(len(values))
    if way == BY_BIT:
        keys = list(range(int(values[-1]).bit_length()))
        belongs = np.array([values >> bit & 1 for bit in keys], bool).reshape(-1, len(values))
    else:
        keys = [int(value) for value in values]
        belongs = np.eye(len(values), dtype=bool)
        belongs[values == rest] = False
    for frame in range(frames.shape[3]):
        seen = _seen(np.ascontiguousarray(ranks[frames[..., frame]]), len(values))
        spans = [[np.flatnonzero(one[:, some].any(1)) for some in belongs] for one in seen]
        for key, i, j, k in zip(keys, *spans, strict=True):
            if len(i):
                first = int(i[0]), int(j[0]), int(k[0])
                last = int(i[-1]), int(j[-1]), int(k[-1])
                a, b, c = (z - y + 1 for y, z in zip(first, last, strict=True))
                yield _Mask(frame, key, first, (a, b, c))


def _seen(ranked: np.ndarray, count: int) -> list[np.ndarray]:
    """Return for each axis which ranks each plane across it has, (length, count) bool."""
    sizes = ranked.shape
    seen = [np.zeros((length, count), bool) for length in sizes]
    rows = count * np.arange(sizes[1])[:, None]
    columns = count * np.arange(sizes[2])
    for n, plane in enumerate(ranked):
        for axis, starts in ((1, rows), (2, columns)):
            found = np.bincount((plane + starts).reshape(-1), minlength=sizes[axis] * count)
            there = found.reshape(sizes[axis], count) > 0
            seen[axis] |= there
        seen[0][n] = there.any(0)
    return seen


def _inside(levels: np.ndarray, key: int, way: int) -> np.ndarray:
    """Return a mask of levels, int32 0 and 1."""
    return levels >> key & 1 if way == BY_BIT else (levels == key).astype(np.int32)


def _groups(masks: Sequence[_Mask]) -> Iterator[list[_Mask]]:
    """Yield masks that are coded at once, which bounds the memory."""
    some: list[_Mask] = []
    for mask in masks:
        if some and sum(one.work for one in some) + mask.work > _MOST_AT_ONCE:
            yield some
            some = []
        some.append(mask)
    if some:
        yield some


def _frames(levels: np.ndarray) -> np.ndarray:
    """Return levels of 1 to 4 axes with 3 axes of space, and one of frames; a view."""
    space = (1, 1, 1, *levels.shape)[-3:] if levels.ndim < 3 else levels.shape[:3]
    return levels.reshape(*space, -1)
