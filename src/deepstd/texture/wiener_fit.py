"""The Wiener filter that suits a scan, by least squares.

restored, true values ─ some tiles ─▶ differences × hats ─ normal equations ─▶ coefficients
no filter, one knot, two … ─▶ the best for its bytes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from deepstd.coding.tables import ScaleTables
from deepstd.texture.postfilter import Tile
from deepstd.texture.refinement import exchange
from deepstd.texture.transforms import Encoded, Encoder
from deepstd.texture.wiener import (
    COEFFICIENT_UNIT,
    FLOOR,
    KNOT_CODES,
    LARGEST,
    Knots,
    WienerFilter,
    activity,
    differences,
    tiles_of,
)

MOST_BYTES = 128
_MOST_VOXELS = 1 << 19
_KNOTS = (1, 3, 8)
_LIMITS = (1, 3, 5)
# Shares of the voxels that the activities of the outer knots leave on their other side.
_OUTER = (0.05, 0.95)
_RIDGE = 1e-4
_PART = 1 << 16
# Of a chunk of a file.
_FRAMING = 6


class RestoredFrame(NamedTuple):
    """A frame, true and restored: grey values are ``offset + step · steps``."""

    steps: np.ndarray
    values: np.ndarray
    step: float
    offset: float


def restored_frame(encoder: Encoder, encoded: Encoded, step_code: int) -> RestoredFrame:
    """What an encoding at a step is restored to."""
    scaling = encoder.scaling
    steps = encoder.restored(encoded, step_code)
    return RestoredFrame(steps, encoder.values, scaling.step(step_code), scaling.offset)


def best_filter(frames: Sequence[RestoredFrame], nbytes: int, tables: ScaleTables) -> bytes | None:
    """The packed filter that is worth most for its bytes, or None where none is worth any.

    Args:
        frames: all of the scan.
        nbytes: of the file without it.
        tables: that its coefficients are coded with.
    """
    samples = _samples(frames)
    error = torch.cat([sample.error for sample in samples])
    best, lead = None, exchange(float(error.square().mean()), nbytes)
    for limit in _LIMITS:
        found = torch.cat([differences(s.values, s.tile, limit) for s in samples], 1)
        active = activity(found)
        for count in _KNOTS:
            fitted = _fitted(limit, found, active, error, count)
            packed = fitted.pack(tables)
            left = error - fitted.change(found, active)
            cost = exchange(float(left.square().mean()), nbytes + len(packed) + _FRAMING)
            if cost < lead and len(packed) <= MOST_BYTES:
                best, lead = packed, cost
    return best


class _Sample(NamedTuple):
    """A tile: its window of restored values, and true less restored values (n,), in steps."""

    values: torch.Tensor
    tile: Tile
    error: torch.Tensor


def _samples(frames: Sequence[RestoredFrame]) -> list[_Sample]:
    """Some tiles of all frames."""
    chosen = [(frame, tile) for frame in frames for tile in tiles_of(frame.steps.shape)]
    voxels = sum(frame.steps.size for frame in frames)
    chosen = chosen[:: max(1, math.ceil(voxels / _MOST_VOXELS))]
    samples = []
    for frame, tile in chosen:
        true = (frame.values[tile.outer].astype(np.float64) - frame.offset) / frame.step
        error = (true - frame.steps[tile.outer]).astype(np.float32)
        window = torch.from_numpy(frame.steps[tile.window])
        samples.append(_Sample(window, tile, torch.from_numpy(error).flatten()))
    return samples


def _fitted(
    limit: int, found: torch.Tensor, active: torch.Tensor, error: torch.Tensor, count: int
) -> WienerFilter:
    """The filter of so many knots that errs least; see `wiener.differences`."""
    knots = _knots(active, count)
    size = count * len(found)
    gram = torch.eye(size, dtype=torch.float64) * (_RIDGE * error.numel() + 1e-9)
    aim = torch.zeros(size, dtype=torch.float64)
    parts = (tensor.split(_PART, -1) for tensor in (found, active, error))
    for part, lively, wrong in zip(*parts, strict=True):
        terms = (knots.hats(lively)[:, None] * part).flatten(0, 1).double()
        gram.addmm_(terms, terms.T)
        aim.addmv_(terms, wrong.double())
    solved = torch.linalg.solve(gram, aim) / COEFFICIENT_UNIT
    whole = torch.round(solved).clamp_(-LARGEST, LARGEST).reshape(count, -1)
    return WienerFilter(limit, knots, whole.numpy().astype(np.int64))


def _knots(active: torch.Tensor, count: int) -> Knots:
    """Knots from the calmest places to the liveliest."""
    ordered = active.sort().values
    outer = [float(ordered[int(share * (len(ordered) - 1))]) for share in _OUTER]
    first, last = (round(KNOT_CODES * math.log2(value + FLOOR)) for value in outer)
    return Knots(count, first, min(last - first, 255))
