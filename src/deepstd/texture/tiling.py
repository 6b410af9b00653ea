"""Tiles of a level's grid, and what networks must see around them.

grid ─▶ regions, in coding order ─▶ Window: region grown by a margin, but not out of the grid
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch

Region = tuple[slice, ...]
Sides = tuple[tuple[bool, bool], ...]


def tile_size(ndim: int) -> int:
    """Edge of a tile on a level's grid."""
    return 64 if ndim == 3 else 512


def tile_regions(grid: Sequence[int], ndim: int) -> Iterator[Region]:
    """Tiles of a level's grid, in coding order; edges are multiples of the tile size."""
    size = tile_size(ndim)
    for start in product(*(range(0, n, size) for n in grid)):
        yield tuple(slice(s, min(s + size, n)) for s, n in zip(start, grid, strict=True))


def without_margin(x: torch.Tensor, borders: Sides | None, margin: int) -> torch.Tensor:
    """(B, C, *grid) less so many positions on every side that is no border; None: all are."""
    if borders is None:
        return x
    inner = (
        slice(0 if begins else margin, n if ends else n - margin)
        for (begins, ends), n in zip(borders, x.shape[2:], strict=True)
    )
    return x[(..., *inner)]


@dataclass(frozen=True)
class Window:
    """A region and its surroundings.

    Attributes:
        outer: the region grown by the margin, cut to the grid.
        borders: of each axis, whether the window begins and ends where the grid does.
        inner: the region as seen from the window.
        kept: the region as seen from the window once a margin is gone from all sides but borders.
    """

    outer: Region
    borders: Sides
    inner: Region
    kept: Region

    @staticmethod
    def around(region: Region, grid: Sequence[int], margin: int) -> Window:
        """The window of a region of a grid."""
        outer, borders, inner, kept = [], [], [], []
        for span, length in zip(region, grid, strict=True):
            start, stop = max(span.start - margin, 0), min(span.stop + margin, length)
            size = span.stop - span.start
            outer.append(slice(start, stop))
            borders.append((start == 0, stop == length))
            inner.append(slice(span.start - start, span.start - start + size))
            first = span.start if start == 0 else 0
            kept.append(slice(first, first + size))
        return Window(tuple(outer), tuple(borders), tuple(inner), tuple(kept))
