"""Least-squares fit of the adaptive loop (Wiener) filter to a scan.

restored, true values ─ some tiles ─▶ differences × knot weights ─ normal equations ─▶ coefficients
no filter, filters of 3 bounds and of 1, 3, 8 knots ─▶ least rate-distortion cost
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deepstd.coding.tables import ScaleTables
from deepstd.rate.tradeoff import rd_cost
from deepstd.texture.filters.wiener import (
    COEFFICIENT_UNIT,
    FLOOR,
    KNOT_CODES,
    LARGEST,
    REACH,
    WIENER_TILES,
    Knots,
    WienerFilter,
    activity,
    neighbour_differences,
)
from deepstd.texture.tiling import Tile, TileEdges, tiles

MOST_BYTES = 128
"""Most bytes of a packed filter."""
FRAMING = 7
"""Bytes of the framing of its chunk in a file."""
# Voxels of the tiles that the fit uses, and of the random sample of these voxels.
_MOST_SEEN, _MOST_VOXELS = 1 << 23, 1 << 18
# Codes of the clipping bound that are tried with the first number of knots; then the other numbers
# of knots are tried with the best bound.
_LIMITS = (1, 3, 5)
_KNOTS = (3, 1, 8)
# Quantiles of the activity at the outer knots.
_OUTER = (0.05, 0.95)
# Voxels that are sorted for the quantiles.
_ORDERED = 1 << 14
# Ridge regularisation, in squared steps a voxel.
_RIDGE = 1e-4
# Voxels of a summand of the normal equations, which is computed in float32 and added in float64.
_PART = 1 << 14


class RestoredFrame(NamedTuple):
    """Restored and true values of a frame; grey values are ``offset + step · steps``.

    Attributes:
        steps: restored values in steps, (*shape) float32.
        values: true grey values, (*shape).
        step: quantisation step in grey values.
        offset: grey value of 0 steps.
        bounds: smallest and largest grey value that a decoder writes.
        ignored: bool, (*shape): true at special values; None for none.
    """

    steps: np.ndarray
    values: np.ndarray
    step: float
    offset: float
    bounds: tuple[float, float] = (-math.inf, math.inf)
    ignored: np.ndarray | None = None


def best_filter(
    frames: Sequence[RestoredFrame],
    nbytes: int,
    tables: ScaleTables,
    edges: TileEdges = WIENER_TILES,
) -> bytes | None:
    """Fit filters and return the packed filter of least rate-distortion cost.

    Args:
        frames: all frames of the scan.
        nbytes: bytes of the file without a filter.
        tables: frequencies that code the coefficients.
        edges: edges of the tiles that the fit samples.

    Returns:
        Packed filter; None where no filter is worth its bytes.
    """
    samples = _samples(frames, edges)
    restored, true, low, high, counted = map(
        np.concatenate, zip(*(sample.voxels for sample in samples), strict=True)
    )

    def error(change: np.ndarray | float) -> float:
        written = (restored + change).clip(low, high)
        return float(np.square((written - true) * counted).mean())

    # Exclude voxels that are exact, typically clipped: they carry no information on the filter.
    used = counted * (restored.clip(low, high) != true)
    residual = (true - restored) * used

    def tried(bounded: _Bounded, count: int) -> tuple[float, bytes]:
        """Fit a filter; return its rate-distortion cost and the packed filter."""
        used_differences = bounded.differences * used
        fitted = _fitted(bounded.limit, used_differences, bounded.activities, residual, count)
        packed = fitted.pack(tables)
        if len(packed) > MOST_BYTES:
            return math.inf, packed
        change = fitted.change(bounded.differences, bounded.activities)
        return rd_cost(error(change), nbytes + len(packed) + FRAMING), packed

    found: list[tuple[float, bytes]] = []
    best: _Bounded | None = None
    for limit in _LIMITS:
        parts = [neighbour_differences(s.window, s.tile, limit)[:, s.taken] for s in samples]
        differences = np.concatenate(parts, 1)
        bounded = _Bounded(limit, differences, activity(differences))
        found.append(tried(bounded, _KNOTS[0]))
        if best is None or found[-1][0] < min(found[:-1])[0]:
            best = bounded
    found += [tried(best, count) for count in _KNOTS[1:] if best is not None]
    cost, packed = min(found)
    return packed if cost < rd_cost(error(0.0), nbytes) else None


class _Bounded(NamedTuple):
    """Differences of the sampled voxels to their neighbours, clipped at one bound.

    Attributes:
        limit: code of the clipping bound.
        differences: summed differences in steps, (neighbours, n).
        activities: activity of each voxel in steps, (n,).
    """

    limit: int
    differences: np.ndarray
    activities: np.ndarray


class _Sample(NamedTuple):
    """A random sample of the voxels of a tile, in steps.

    Attributes:
        window: restored values of the tile and its halo.
        tile: the tile.
        taken: indices of the sampled voxels in the tile, ascending.
        voxels: restored values, true values, lower bounds, upper bounds, and 0 at special values
            and 1 elsewhere; (n,) each.
    """

    window: np.ndarray
    tile: Tile
    taken: np.ndarray
    voxels: tuple[np.ndarray, ...]


def _samples(frames: Sequence[RestoredFrame], edges: TileEdges) -> list[_Sample]:
    """Sample voxels of random tiles of all frames."""
    chosen = [(frame, tile) for frame in frames for tile in tiles(frame.steps.shape, REACH, edges)]
    voxels = sum(frame.steps.size for frame in frames)
    random = np.random.default_rng(0)
    if voxels > _MOST_SEEN:
        seen = math.ceil(len(chosen) * _MOST_SEEN / voxels)
        chosen = [chosen[n] for n in np.sort(random.permutation(len(chosen))[:seen])]
    share = min(1.0, _MOST_VOXELS / min(voxels, _MOST_SEEN))
    samples = []
    for frame, tile in chosen:
        restored = frame.steps[tile.outer]
        true = (frame.values[tile.outer].astype(np.float64) - frame.offset) / frame.step
        # The bounds of float types in steps may exceed float32.
        with np.errstate(over="ignore"):
            bounds = ((np.array(frame.bounds) - frame.offset) / frame.step).astype(np.float32)
        low, high = (np.full_like(restored, bound) for bound in bounds)
        counted = np.ones_like(restored)
        if frame.ignored is not None:
            counted[frame.ignored[tile.outer]] = 0
        taken = np.flatnonzero(random.random(restored.size) < share)
        every = (restored, true.astype(np.float32), low, high, counted)
        flat = tuple(v.reshape(-1)[taken] for v in every)
        samples.append(_Sample(frame.steps[tile.window], tile, taken, flat))
    return samples


def _fitted(
    limit: int,
    differences: np.ndarray,
    activities: np.ndarray,
    residual: np.ndarray,
    count: int,
) -> WienerFilter:
    """Fit a filter by regularised least squares.

    Args:
        limit: code of the clipping bound.
        differences: summed differences to neighbours in steps, (neighbours, n), 0 at excluded
            voxels.
        activities: activity of each voxel in steps, (n,).
        residual: true less restored values in steps, (n,), 0 at excluded voxels.
        count: number of knots.
    """
    knots = _knots(activities, count)
    size = count * len(differences)
    gram = np.eye(size) * (_RIDGE * len(residual) + 1e-9)
    target = np.zeros(size)
    for start in range(0, len(residual), _PART):
        part = slice(start, start + _PART)
        weights = knots.interpolation_weights(activities[part])
        terms = (weights[:, None] * differences[:, part]).reshape(size, -1)
        gram += terms @ terms.T
        target += terms @ residual[part]
    solved = np.linalg.solve(gram, target) / COEFFICIENT_UNIT
    whole = np.rint(solved).clip(-LARGEST, LARGEST).reshape(count, -1)
    return WienerFilter(limit, knots, whole.astype(np.int64))


def _knots(activities: np.ndarray, count: int) -> Knots:
    """Spread knots from the 5 % quantile to the 95 % quantile of the activity."""
    ordered = np.sort(activities[:: max(1, len(activities) // _ORDERED)])
    outer = [float(ordered[int(share * (len(ordered) - 1))]) for share in _OUTER]
    first, last = (round(KNOT_CODES * math.log2(value + FLOOR)) for value in outer)
    return Knots(count, first, min(last - first, 255))
