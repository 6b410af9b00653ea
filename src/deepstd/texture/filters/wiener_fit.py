"""The Wiener filter that suits a scan, by least squares.

restored, true values ─ some tiles ─▶ differences × knot weights ─ normal equations ─▶ coefficients
no filter, one knot, two … ─▶ the best for its bytes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from deepstd.coding.tables import ScaleTables
from deepstd.rate.tradeoff import rd_cost
from deepstd.texture.filters.wiener import (
    COEFFICIENT_UNIT,
    FLOOR,
    KNOT_CODES,
    LARGEST,
    Knots,
    WienerFilter,
    activity,
    neighbour_differences,
    tiles_of,
)
from deepstd.texture.tiling import Tile

MOST_BYTES = 128
# Of its chunk in a file.
FRAMING = 7
# Of tiles that are looked at, and of the voxels among them that are taken at random.
_MOST_SEEN, _MOST_VOXELS = 1 << 23, 1 << 19
_KNOTS = (1, 3, 8)
_LIMITS = (1, 3, 5)
# Shares of the voxels that the activities of the outer knots leave on their other side.
_OUTER = (0.05, 0.95)
_RIDGE = 1e-4
_PART = 1 << 16


class RestoredFrame(NamedTuple):
    """A frame, true and restored: grey values are ``offset + step · steps``.

    Attributes:
        steps: restored, (*shape) float32.
        values: true grey values, (*shape).
        step, offset: of the grey values.
        bounds: smallest and largest grey value that a decoder writes.
        ignored: bool, (*shape): voxels that a decoder knows otherwise; None for none.
    """

    steps: np.ndarray
    values: np.ndarray
    step: float
    offset: float
    bounds: tuple[float, float] = (-math.inf, math.inf)
    ignored: np.ndarray | None = None


def best_filter(frames: Sequence[RestoredFrame], nbytes: int, tables: ScaleTables) -> bytes | None:
    """The packed filter that is worth most for its bytes, or None where none is worth any.

    Args:
        frames: all of the scan.
        nbytes: of the file without it.
        tables: that its coefficients are coded with.
    """
    samples = _samples(frames)
    restored, true, low, high, counted = map(
        torch.cat, zip(*(sample.voxels for sample in samples), strict=True)
    )

    def error(change: torch.Tensor | float) -> float:
        written = (restored + change).clamp(low, high)
        return float(((written - true) * counted).square().mean())

    # What is exact teaches nothing, above all where it is cut off at a bound.
    used = counted * (restored.clamp(low, high) != true)
    wrong = (true - restored) * used
    best, lead = None, rd_cost(error(0.0), nbytes)
    for limit in _LIMITS:
        parts = [neighbour_differences(s.window, s.tile, limit)[:, s.taken] for s in samples]
        differences = torch.cat(parts, 1)
        activities = activity(differences)
        for count in _KNOTS:
            fitted = _fitted(limit, differences * used, activities, wrong, count)
            packed = fitted.pack(tables)
            change = fitted.change(differences, activities)
            cost = rd_cost(error(change), nbytes + len(packed) + FRAMING)
            if cost < lead and len(packed) <= MOST_BYTES:
                best, lead = packed, cost
    return best


class _Sample(NamedTuple):
    """A tile in steps.

    Attributes:
        window: restored values of the tile and around it.
        tile: the tile.
        taken: numbers of the voxels that are taken, ascending.
        voxels: restored and true values, smallest and largest that is written, and 1 for those that
            count, else 0; (n,) each.
    """

    window: torch.Tensor
    tile: Tile
    taken: torch.Tensor
    voxels: tuple[torch.Tensor, ...]


def _samples(frames: Sequence[RestoredFrame]) -> list[_Sample]:
    """Some voxels of some tiles of all frames: as evenly as they may be, for tiles differ."""
    chosen = [(frame, tile) for frame in frames for tile in tiles_of(frame.steps.shape)]
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
        # Of floats, what a decoder may write goes beyond what float32 holds.
        with np.errstate(over="ignore"):
            bounds = ((np.array(frame.bounds) - frame.offset) / frame.step).astype(np.float32)
        low, high = (np.full_like(restored, bound) for bound in bounds)
        counted = np.ones_like(restored)
        if frame.ignored is not None:
            counted[frame.ignored[tile.outer]] = 0
        taken = np.flatnonzero(random.random(restored.size) < share)
        every = (restored, true.astype(np.float32), low, high, counted)
        flat = tuple(torch.from_numpy(v.reshape(-1)[taken]) for v in every)
        window = torch.from_numpy(frame.steps[tile.window])
        samples.append(_Sample(window, tile, torch.from_numpy(taken), flat))
    return samples


def _fitted(
    limit: int,
    differences: torch.Tensor,
    activities: torch.Tensor,
    wrong: torch.Tensor,
    count: int,
) -> WienerFilter:
    """The filter of so many knots that errs least; see `wiener.neighbour_differences`.

    Args:
        limit: code of the limit.
        differences: (neighbours, n), 0 at voxels that are not learned from.
        activities: (n,).
        wrong: true less restored values (n,), 0 likewise.
        count: of knots.
    """
    knots = _knots(activities, count)
    size = count * len(differences)
    gram = torch.eye(size, dtype=torch.float64) * (_RIDGE * wrong.numel() + 1e-9)
    aim = torch.zeros(size, dtype=torch.float64)
    parts = (tensor.split(_PART, -1) for tensor in (differences, activities, wrong))
    for some, lively, error in zip(*parts, strict=True):
        terms = (knots.interpolation_weights(lively)[:, None] * some).flatten(0, 1).double()
        gram.addmm_(terms, terms.T)
        aim.addmv_(terms, error.double())
    solved = torch.linalg.solve(gram, aim) / COEFFICIENT_UNIT
    whole = torch.round(solved).clamp_(-LARGEST, LARGEST).reshape(count, -1)
    return WienerFilter(limit, knots, whole.numpy().astype(np.int64))


def _knots(activities: torch.Tensor, count: int) -> Knots:
    """Knots from the calmest places to the liveliest."""
    ordered = activities.sort().values
    outer = [float(ordered[int(share * (len(ordered) - 1))]) for share in _OUTER]
    first, last = (round(KNOT_CODES * math.log2(value + FLOOR)) for value in outer)
    return Knots(count, first, min(last - first, 255))
