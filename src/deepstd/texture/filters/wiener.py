"""Adaptive loop (Wiener) filter, with coefficients fitted to the scan by the encoder.

    restored values ┬ differences to neighbours, clipped ┬──▶ Σ coefficient · difference ─ + ─▶
                    │                                    └ activity ─▶ weights ─▲          │
                    └──────────────────────────────────────────────────────────────────────┘

The coefficients minimise the squared error on the scan itself and are stored in the file (Wiener
1949; by classes of activity as in the adaptive loop filter of VVC, Karczewicz et al. 2021).
Opposite neighbours share a coefficient. Coefficients are interpolated between knots of the
activity. The result is continuous in the values, so machines that round differently still agree.
The engine filters whole frames; without one, array operations filter tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from deepstd.coding.backend import new_decoder, new_encoder
from deepstd.coding.bytes import Cursor
from deepstd.coding.tables import LAST_BASE, PLAIN, SCALE_COUNT, ScaleTables, magnitude_bits
from deepstd.engine.library import engine
from deepstd.engine.wiener import wiener_filtered
from deepstd.texture.tiling import (
    Region,
    Tile,
    TileEdges,
    Window,
    shared,
    tiles,
    tiles_of_region,
)
from deepstd.threads import thread_count

# Voxels to the farthest neighbour.
REACH = 2
MOST_KNOTS = 16
# Number of codes of the clipping bound.
LIMITS = 8
# Steps added to the activity, so that its logarithm is bounded.
FLOOR = 2.0**-8
# Knot codes an octave of the activity.
KNOT_CODES = 8
COEFFICIENT_UNIT = 2.0**-7
# Largest coefficient in units: 16.
LARGEST = 1 << 11
WIENER_TILES = TileEdges(256, 48)
"""Tiles small enough for the CPU's cache."""


def half_neighbourhood(ndim: int) -> list[tuple[int, ...]]:
    """Return an offset of every pair of opposite neighbours.

    Neighbours lie across faces and edges, and two voxels away along each axis.
    """
    near = [o for o in product((-1, 0, 1), repeat=ndim) if o > (0,) * ndim and np.dot(o, o) <= 2]
    return near + [tuple(REACH * (a == axis) for a in range(ndim)) for axis in range(ndim)]


@dataclass(frozen=True)
class Knots:
    """Knots of the activity, evenly spaced in octaves; each has a set of coefficients.

    Attributes:
        count: number of knots, 1 … 16.
        lowest: log2 of the first knot in steps, in eighths of an octave, −128 … 127.
        span: distance of the first and the last knot, in eighths of an octave, 0 … 255.
    """

    count: int
    lowest: int
    span: int

    @property
    def codes_apart(self) -> float:
        """Distance of neighbouring knots' places for each code of the activity."""
        return (self.count - 1) / max(self.span, 1)

    def interpolation_weights(self, activity: np.ndarray) -> np.ndarray:
        """Return the linear interpolation weights of the knots, (count, n) float32 with sum 1.

        Args:
            activity: activities in steps, (n,) float32.
        """
        if self.count == 1:
            return np.ones((1, len(activity)), np.float32)
        codes = np.log2(activity + np.float32(FLOOR)) * KNOT_CODES - self.lowest
        place = (codes * np.float32(self.codes_apart)).clip(0, self.count - 1)
        knots = np.arange(self.count, dtype=np.float32)
        return np.maximum(1 - np.abs(place - knots[:, None]), 0)


@dataclass(frozen=True)
class WienerFilter:
    """Adaptive loop filter of a file.

    Attributes:
        limit: code of the clipping bound of differences (`bound_of`), 0 … 7.
        knots: knots of the activity.
        coefficients: whole numbers in units of 1/128, (knots, neighbours).
    """

    limit: int
    knots: Knots
    coefficients: np.ndarray

    def pack(self, tables: ScaleTables) -> bytes:
        """Pack the filter: bound and knots, two scale indices, and coded coefficients.

        The coefficients of later knots are coded as differences to the knot before.
        """
        change = np.diff(self.coefficients, axis=0)
        parts = [part.reshape(-1) for part in (self.coefficients[:1], change)]
        scales = [_best_scale(part, tables) for part in parts]
        coder = new_encoder()
        for part, scale in zip(parts, scales, strict=True):
            coder.encode(part, np.full(part.size, scale, np.uint8), tables)
        knots = self.knots
        first = self.limit * MOST_KNOTS + knots.count - 1
        return bytes([first, knots.lowest + 128, knots.span, *scales]) + coder.finish()

    @staticmethod
    def unpack(payload: bytes, ndim: int, tables: ScaleTables, name: str) -> WienerFilter:
        """Parse a packed filter.

        Args:
            payload: bytes of `pack`.
            ndim: number of axes of a frame.
            tables: frequencies.
            name: name of the file, for messages.

        Raises:
            DamagedError: the bytes make no sense.
        """
        cursor = Cursor(payload, name, "Wiener filter")
        limit, count = divmod(cursor.byte(), MOST_KNOTS)
        knots = Knots(count + 1, cursor.byte() - 128, cursor.byte())
        scales = cursor.byte(), cursor.byte()
        if limit >= LIMITS or max(scales) >= SCALE_COUNT:
            raise cursor.error(f"limit code {limit}, scale indices {scales}")
        decoder = new_decoder(cursor.take(cursor.remaining))
        neighbours = len(half_neighbourhood(ndim))
        parts = [
            decoder.decode(np.full((rows, neighbours), scale, np.uint8), tables)
            for rows, scale in zip((1, count), scales, strict=True)
        ]
        changes = np.concatenate(parts)
        coefficients = np.cumsum(changes, axis=0)
        if max(np.abs(changes).max() / 2, np.abs(coefficients).max()) > LARGEST:
            raise cursor.error("a coefficient is out of range")
        return WienerFilter(limit, knots, coefficients)

    def change(self, differences: np.ndarray, activities: np.ndarray) -> np.ndarray:
        """Return the corrections of n voxels in steps, (n,) float32.

        Args:
            differences: summed differences to opposite neighbours in steps, (neighbours, n).
            activities: activity of each voxel in steps, (n,).
        """
        changes = self._in_steps() @ differences
        changes *= self.knots.interpolation_weights(activities)
        return changes.sum(0)

    def apply(self, steps: np.ndarray) -> np.ndarray:
        """Filter a frame; return its values in steps, (*shape) float32.

        Args:
            steps: restored values in steps, (*shape) float32.
        """
        if engine() is None:
            return self.apply_in_tiles(steps, WIENER_TILES)
        knots = self.knots
        return wiener_filtered(
            steps,
            half_neighbourhood(steps.ndim),
            self._in_steps(),
            bound_of(self.limit),
            (FLOOR, KNOT_CODES, knots.lowest, knots.codes_apart),
            thread_count(),
        )

    def apply_in_tiles(self, steps: np.ndarray, edges: TileEdges) -> np.ndarray:
        """Filter a frame in array operations, tile by tile, so that memory stays bounded.

        Args:
            steps: restored values in steps, (*shape) float32.
            edges: edges of the tiles.

        Returns:
            Filtered values in steps, (*shape) float32.
        """
        filtered = np.empty_like(steps)
        for tile in tiles(steps.shape, REACH, edges):
            filtered[tile.outer] = self._of_tile(steps[tile.window], tile)
        return filtered

    def apply_to(
        self, region: Region, shape: Sequence[int], steps_of: Callable[[Region], np.ndarray]
    ) -> np.ndarray:
        """Filter a region of a frame; its values are those that `apply` gives the whole frame.

        Args:
            region: part of the frame, not empty.
            shape: voxels of the frame along each axis.
            steps_of: returns the restored values of a region in steps, float32.

        Returns:
            Filtered values in steps, float32 of the region's shape.
        """
        if engine() is not None:
            around = Window.around(region, shape, REACH)
            return self.apply(steps_of(around.outer))[around.inner]
        found = np.empty([span.stop - span.start for span in region], np.float32)
        for tile in tiles_of_region(shape, REACH, WIENER_TILES, region):
            # Sums of another number of voxels may round otherwise, so whole tiles are filtered.
            filtered = self._of_tile(steps_of(tile.window[1:]), tile)
            here, there = shared(tile.outer, region)
            found[there] = filtered[here]
        return found

    def _of_tile(self, values: np.ndarray, tile: Tile) -> np.ndarray:
        """Return the filtered values of a tile, given those of its window."""
        differences = neighbour_differences(values, tile, self.limit)
        change = self.change(differences, activity(differences))
        centre = values[tile.inner]
        return centre + change.reshape(centre.shape)

    def _in_steps(self) -> np.ndarray:
        return (self.coefficients * COEFFICIENT_UNIT).astype(np.float32)


def bound_of(limit: int) -> float:
    """Return the largest difference to a neighbour in steps, of a code of the clipping bound."""
    return 2.0 ** (limit - 3)


def neighbour_differences(values: np.ndarray, tile: Tile, limit: int) -> np.ndarray:
    """Return the summed clipped differences of each voxel to its pairs of opposite neighbours.

    Args:
        values: values of the tile's window in steps; the border of the scan is repeated.
        tile: the tile.
        limit: code of the clipping bound.

    Returns:
        (pairs of `half_neighbourhood`, voxels) float32, in steps.
    """
    margins = [(s.start, n - s.stop) for s, n in zip(tile.inner, values.shape, strict=True)]
    padded = np.pad(values, [tuple(REACH - have for have in pair) for pair in margins], "edge")
    centre, largest = values[tile.inner], np.float32(bound_of(limit))

    def difference(offset: Sequence[int]) -> np.ndarray:
        spans = [slice(REACH + o, REACH + o + n) for o, n in zip(offset, centre.shape, strict=True)]
        return (padded[tuple(spans)] - centre).clip(-largest, largest)

    offsets = half_neighbourhood(values.ndim)
    differences = np.empty((len(offsets), *centre.shape), np.float32)
    for number, offset in enumerate(offsets):
        differences[number] = difference(offset) + difference([-o for o in offset])
    return differences.reshape(len(offsets), -1)


def activity(differences: np.ndarray) -> np.ndarray:
    """Return the root mean square of differences in steps, (neighbours, voxels) to (voxels,)."""
    return np.sqrt(np.square(differences).mean(0))


def _best_scale(symbols: np.ndarray, tables: ScaleTables) -> int:
    """Return the scale index that codes symbols in the fewest bits."""
    magnitudes = np.abs(symbols)
    bits = magnitude_bits(tables, PLAIN, int(magnitudes.max(initial=0)))
    return int(np.argmin(bits[: LAST_BASE + 1, magnitudes].sum(1)))
