"""Motion-compensated prediction of a slice from the reference slices on both sides.

    slice before, slice after ─ halve ─ halve ─▶ coarse to fine: v such that before at x + v
    matches after at x − v ─▶ mean and difference of the two

Structures that lean move from slice to slice. A structure that moves by 2 v between the references
passes the slice half way at v. The decoder finds v from the references, so a file holds no motion
(bilateral matching, Choi et al. 2007; video codecs refine motion vectors with it).
Everything is computed in whole numbers, so encoder and decoder agree on every machine.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from deepstd.engine.library import engine
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.slices.native_motion import Matching, compensate
from deepstd.threads import thread_count

# Levels of the pyramid, and the shortest side of its coarsest images in pixels.
_LEVELS = 3
_SHORTEST = 16
_CANDIDATES = sorted(product((-1, 0, 1), repeat=2), key=lambda v: abs(v[0]) + abs(v[1]))
_MATCHING = Matching(
    candidates=np.array(_CANDIDATES, np.int32),
    radius=3,
    # Larger differences are clipped, so that single pixels do not decide a match.
    largest_difference=16 * UNITS_PER_STEP,
    change_price=4,
    length_price=2,
)


def halfway(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the difference of two reference slices after motion compensation.

    Args:
        before, after: reference slices, (B, 1, h, w) whole numbers in 1/64 step.

    Returns:
        Mean, rounded down, and difference; both (B, 1, h, w) whole numbers in 1/64 step, float64.
    """
    before, after = (np.ascontiguousarray(x, np.float64) for x in (before, after))
    levels, side = 1, min(before.shape[2:])
    while levels < _LEVELS and side >= 2 * _SHORTEST:
        levels, side = levels + 1, (side + 1) // 2
    library = engine()
    if library is not None:
        return compensate(library, _MATCHING, before, after, levels, thread_count())
    return _compensated(before, after, levels)


def _compensated(
    before: np.ndarray, after: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `halfway` does: the reference of the native engine."""
    pairs = [(before, after)]
    while len(pairs) < levels:
        pairs.append((_halved(pairs[-1][0]), _halved(pairs[-1][1])))
    moves = np.zeros((len(before), 2, *pairs[-1][0].shape[2:]), np.int64)
    for first, second in reversed(pairs):
        height, width = first.shape[2:]
        if moves.shape[2:] != (height, width):
            moves = 2 * moves.repeat(2, 2).repeat(2, 3)[:, :, :height, :width]
        moves = _matched(first, second, moves)
    first, second = _moved(before, moves), _moved(after, -moves)
    return np.floor((first + second) * 0.5), first - second


def _halved(x: np.ndarray) -> np.ndarray:
    """Return the means of two by two pixels, rounded down; fewer at odd edges."""
    for axis in (2, 3):
        if x.shape[axis] % 2:
            x = np.concatenate([x, np.take(x, [-1], axis)], axis)
    sums = x[:, :, ::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, ::2] + x[:, :, 1::2, 1::2]
    return np.floor(sums * 0.25)


def _matched(before: np.ndarray, after: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return motion vectors in whole pixels, (B, 2, h, w).

    Args:
        before, after: images of one pyramid level, (B, 1, h, w).
        start: vectors that may change by one pixel along each axis, (B, 2, h, w).
    """
    height, width = before.shape[2:]
    one = [(0, 0), (0, 0), (1, 1), (1, 1)]
    first = np.pad(_moved(before, start), one, mode="edge")
    second = np.pad(_moved(after, -start), one, mode="edge")
    window = (2 * _MATCHING.radius + 1) ** 2
    best, choice = np.full(before.shape, np.inf), np.zeros(before.shape, np.int64)
    for number, (down, right) in enumerate(_CANDIDATES):
        ahead = first[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]
        behind = second[:, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        cost = _window_sums(np.minimum(np.abs(ahead - behind), _MATCHING.largest_difference))
        length = np.abs(start[:, :1] + down) + np.abs(start[:, 1:] + right)
        cost += _MATCHING.length_price * window * length
        cost += _MATCHING.change_price * window * (number > 0)
        better = cost < best
        best[better], choice[better] = cost[better], number
    return start + np.moveaxis(_MATCHING.candidates[choice[:, 0]], -1, 1)


def _moved(x: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Sample x at every pixel plus its vector, (B, 1, h, w); edges are repeated."""
    height, width = x.shape[2:]
    rows = np.clip(np.arange(height)[:, None] + moves[:, :1], 0, height - 1)
    columns = np.clip(np.arange(width) + moves[:, 1:], 0, width - 1)
    places = (rows * width + columns).reshape(len(x), -1)
    return np.take_along_axis(x.reshape(len(x), -1), places, 1).reshape(x.shape)


def _window_sums(x: np.ndarray) -> np.ndarray:
    """Return the sums over the window around every pixel; edges are repeated."""
    reach = _MATCHING.radius
    for axis in (2, 3):
        sides = [(reach, reach) if a == axis else (0, 0) for a in range(4)]
        extended = np.moveaxis(np.pad(x, sides, mode="edge"), axis, 0)
        count = x.shape[axis]
        sums = sum(extended[k : k + count] for k in range(2 * reach + 1))
        x = np.moveaxis(np.asarray(sums), 0, axis)
    return x
