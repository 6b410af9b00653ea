"""Adaptive loop (Wiener) filter, with coefficients fitted to the scan by the encoder.

    restored values ┬ differences to neighbours, clipped ┬──▶ Σ coefficient · difference ─ + ─▶
                    │                                    └ activity ─▶ weights ─▲          │
                    └──────────────────────────────────────────────────────────────────────┘

The coefficients are those that err least on the scan itself (Wiener 1949; by classes of activity as
in the adaptive loop filter of VVC, Karczewicz et al. 2021), so a file holds them. Opposite
neighbours share a coefficient. Between the knots of the activity, coefficients are interpolated:
the result is continuous in the values, and devices that round otherwise still agree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch.nn import functional

from deepstd.coding.backend import new_decoder, new_encoder
from deepstd.coding.bytes import Cursor
from deepstd.coding.tables import LAST_BASE, PLAIN, SCALE_COUNT, ScaleTables, magnitude_bits
from deepstd.devices import Workers
from deepstd.texture.tiling import Tile, tiles

REACH = 2
MOST_KNOTS = 16
LIMITS = 8
FLOOR = 2.0**-8
KNOT_CODES = 8
COEFFICIENT_UNIT = 2.0**-7
LARGEST = 1 << 11
_TILE_2D, _TILE_3D = 256, 48


def half_neighbourhood(ndim: int) -> list[tuple[int, ...]]:
    """One of every two opposite neighbours: across faces and edges, and two steps away."""
    near = [o for o in product((-1, 0, 1), repeat=ndim) if o > (0,) * ndim and np.dot(o, o) <= 2]
    return near + [tuple(REACH * (a == axis) for a in range(ndim)) for axis in range(ndim)]


@dataclass(frozen=True)
class Knots:
    """Activities that coefficients belong to, evenly spaced in octaves.

    Attributes:
        count: 1 … 16.
        lowest: the first, in eighths of an octave of steps, −128 … 127.
        span: from the first to the last, in eighths of an octave, 0 … 255.
    """

    count: int
    lowest: int
    span: int

    def interpolation_weights(self, activity: torch.Tensor) -> torch.Tensor:
        """Weights of the knots at activities in steps (n,): (count, n), their sum 1."""
        if self.count == 1:
            return torch.ones_like(activity)[None]
        octaves = (activity + FLOOR).log2_()
        place = (octaves * KNOT_CODES - self.lowest) * ((self.count - 1) / max(self.span, 1))
        knots = torch.arange(self.count, device=activity.device, dtype=activity.dtype)
        place = place.clamp_(0, self.count - 1)
        return (1 - (place - knots[:, None]).abs_()).clamp_(min=0)


@dataclass(frozen=True)
class WienerFilter:
    """Coefficients of one file.

    Attributes:
        limit: code of the largest difference that counts, 2**(limit − 3) steps; 0 … 7.
        knots: of the activity.
        coefficients: whole numbers of 1/128, (knots, neighbours).
    """

    limit: int
    knots: Knots
    coefficients: np.ndarray

    def pack(self, tables: ScaleTables) -> bytes:
        """Limit and count, first and span of the knots, two scale indices, and the coefficients.

        Those of every knot but the first are coded as differences to the knot before.
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
        """Inverse of `pack`.

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

    def change(self, differences: torch.Tensor, activities: torch.Tensor) -> torch.Tensor:
        """What to add to values, in steps (n,); see `neighbour_differences` and `activity`."""
        weights = torch.from_numpy(self.coefficients * COEFFICIENT_UNIT).to(differences)
        return (weights @ differences).mul_(self.knots.interpolation_weights(activities)).sum(0)

    def apply(self, steps: np.ndarray, workers: Workers) -> np.ndarray:
        """Values in steps after the filter, (*shape) float32; tile by tile.

        Args:
            steps: restored values in steps, (*shape) float32.
            workers: share the tiles.
        """
        whole = torch.from_numpy(steps)
        filtered = np.empty_like(steps)

        def filter_tile(device: torch.device, tile: Tile) -> None:
            values = whole[tile.window].to(device)
            differences = neighbour_differences(values, tile, self.limit)
            change = self.change(differences, activity(differences))
            centre = values[tile.inner]
            filtered[tile.outer] = (centre + change.reshape(centre.shape)).cpu().numpy()

        deque(workers.map(filter_tile, tiles_of(steps.shape)), maxlen=0)
        return filtered


def tiles_of(shape: Sequence[int]) -> Iterator[Tile]:
    """Tiles that are filtered at once, small enough for a cache."""
    return tiles(shape, REACH, _TILE_3D if len(shape) == 3 else _TILE_2D)


def neighbour_differences(values: torch.Tensor, tile: Tile, limit: int) -> torch.Tensor:
    """What two opposite neighbours differ from each voxel of a tile, together, each limited.

    Args:
        values: in steps, the tile's window; beyond the scan its border is repeated.
        tile: the tile.
        limit: code of the largest one; see `WienerFilter`.

    Returns:
        (neighbours, voxels) of `half_neighbourhood`, in steps.
    """
    margins = [(s.start, n - s.stop) for s, n in zip(tile.inner, values.shape, strict=True)]
    padding = [REACH - have for pair in reversed(margins) for have in pair]
    padded = functional.pad(values[None, None], padding, mode="replicate")[0, 0]
    centre, largest = values[tile.inner], 2.0 ** (limit - 3)

    def difference(offset: Sequence[int]) -> torch.Tensor:
        place = [slice(REACH + o, REACH + o + n) for o, n in zip(offset, centre.shape, strict=True)]
        return (padded[tuple(place)] - centre).clamp_(-largest, largest)

    offsets = half_neighbourhood(values.ndim)
    differences = values.new_empty((len(offsets), *centre.shape))
    for row, offset in zip(differences, offsets, strict=True):
        torch.add(difference(offset), difference([-o for o in offset]), out=row)
    return differences.flatten(1)


def activity(differences: torch.Tensor) -> torch.Tensor:
    """Root of the mean square of differences, in steps: (neighbours, voxels) to (voxels,)."""
    return differences.square().mean(0).sqrt_()


def _best_scale(symbols: np.ndarray, tables: ScaleTables) -> int:
    """Scale index that codes symbols in the fewest bits."""
    magnitudes = np.abs(symbols)
    bits = magnitude_bits(tables, PLAIN, int(magnitudes.max(initial=0)))
    return int(np.argmin(bits[: LAST_BASE + 1, magnitudes].sum(1)))
