"""Parts of a scan: tiles of a level's grid or of the scan, their surroundings, middle slices.

grid ─▶ regions, in coding order ─▶ Window: region grown by a margin, but not out of the grid
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, TypeVar

import numpy as np

Region = tuple[slice, ...]
Sides = tuple[tuple[bool, bool], ...]
_Array = TypeVar("_Array", bound=Any)


class TileEdges(NamedTuple):
    """Edges of tiles in voxels, even so that the fold of voxels into channels stays the same.

    Attributes:
        image: edge of a tile of an image.
        volume: edge of a tile of a volume.
    """

    image: int
    volume: int

    def of(self, ndim: int) -> int:
        """Return the edge for scans of 2 or 3 axes."""
        return self.volume if ndim == 3 else self.image


FILTER_TILES = TileEdges(1024, 128)
"""Tiles of a post-filter: with its halo and channels each takes some 200 MB."""


def tile_size(ndim: int) -> int:
    """Return the edge of a tile on a level's grid, in coefficients."""
    return 64 if ndim == 3 else 512


def tile_regions(grid: Sequence[int], ndim: int) -> Iterator[Region]:
    """Yield the tiles of a level's grid in coding order; tiles begin at multiples of their size."""
    size = tile_size(ndim)
    for start in product(*(range(0, n, size) for n in grid)):
        yield tuple(slice(s, min(s + size, n)) for s, n in zip(start, grid, strict=True))


def without_margin(x: _Array, borders: Sides | None, margin: int) -> _Array:
    """Crop (B, C, *grid) by a margin on every side that is not a border.

    Args:
        x: array or tensor to crop.
        borders: for each axis, whether ``x`` begins and ends at a border; None for all.
        margin: positions to remove.
    """
    if borders is None:
        return x
    inner = (
        slice(0 if begins else margin, n if ends else n - margin)
        for (begins, ends), n in zip(borders, x.shape[2:], strict=True)
    )
    return x[(..., *inner)]


@dataclass(frozen=True)
class Window:
    """A region with its surroundings.

    Attributes:
        outer: the region grown by the margin, clipped to the grid.
        borders: for each axis, whether the window begins and ends where the grid does.
        inner: the region, as an index into the window.
        kept: the region, as an index into the window less the margin on sides that are no border.
    """

    outer: Region
    borders: Sides
    inner: Region
    kept: Region

    @staticmethod
    def around(region: Region, grid: Sequence[int], margin: int) -> Window:
        """Return the window of a region of a grid."""
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


@dataclass(frozen=True)
class Tile:
    """A part of a volume that is filtered at once.

    Attributes:
        window: the tile with its halo, as an index into (1, 1, *shape).
        inner: the tile, as an index into the spatial axes of the window.
        outer: the tile, as an index into the spatial axes of the volume.
    """

    window: tuple[Any, ...]
    inner: tuple[slice, ...]
    outer: tuple[slice, ...]

    @property
    def start(self) -> tuple[int, ...]:
        """First voxel of the tile."""
        return tuple(span.start for span in self.outer)


def tiles(shape: Sequence[int], halo: int, edges: TileEdges) -> Iterator[Tile]:
    """Yield the tiles of a volume, each with a halo.

    Args:
        shape: voxels along each axis.
        halo: voxels around each tile.
        edges: edges of the tiles.
    """
    yield from tiles_of_region(shape, halo, edges, tuple(slice(0, n) for n in shape))


def tiles_of_region(
    shape: Sequence[int], halo: int, edges: TileEdges, region: Region
) -> Iterator[Tile]:
    """Yield those `tiles` of a volume that a region meets.

    Args:
        shape: voxels of the volume along each axis.
        halo: voxels around each tile.
        edges: edges of the tiles.
        region: the region, not empty.
    """
    size = edges.of(len(shape))
    firsts = (range(span.start // size * size, span.stop, size) for span in region)
    for start in product(*firsts):
        stops = [min(s + size, n) for s, n in zip(start, shape, strict=True)]
        # Even starts keep the fold of voxels into channels the same in every tile.
        first = [max(s - halo, 0) for s in start]
        last = [min(s + halo, n) for s, n in zip(stops, shape, strict=True)]
        yield Tile(
            (..., *(slice(a, b) for a, b in zip(first, last, strict=True))),
            tuple(slice(s - a, e - a) for s, e, a in zip(start, stops, first, strict=True)),
            tuple(slice(s, e) for s, e in zip(start, stops, strict=True)),
        )


def shared(one: Region, other: Region) -> tuple[Region, Region]:
    """Return the part that two regions share, as an index into the first and into the second."""
    spans = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]

    def within(region: Region) -> Region:
        both = zip(spans, region, strict=True)
        return tuple(slice(first - own.start, last - own.start) for (first, last), own in both)

    return within(one), within(other)


def middle_slices(values: np.ndarray, voxels: int, axis: int, fewest: int) -> np.ndarray:
    """Return the middle slices along an axis.

    Args:
        values: voxels of a scan.
        voxels: approximate number of voxels.
        axis: axis along which the slices follow each other.
        fewest: smallest number of slices.
    """
    length = values.shape[axis]
    count = min(length, max(fewest, voxels * length // values.size))
    start = (length - count) // 2
    return np.take(values, range(start, start + count), axis)
