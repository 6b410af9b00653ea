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
import torch
from torch.nn import functional

from deepstd.texture.entropy.features import UNITS_PER_STEP

# Levels of the pyramid, and the shortest side of its coarsest images in pixels.
_LEVELS = 3
_SHORTEST = 16
# Of the matching window, in pixels.
_RADIUS = 3
# Larger differences are clipped, so that single pixels do not decide a match.
_LARGEST_DIFFERENCE = 16 * UNITS_PER_STEP
# Costs in 1/64 step per pixel of the window: of a change of the coarser level's vector, and of each
# pixel of the vector's length.
_CHANGE_PRICE = 4
_LENGTH_PRICE = 2
_CANDIDATES = sorted(product((-1, 0, 1), repeat=2), key=lambda v: abs(v[0]) + abs(v[1]))


def halfway(before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and the difference of two reference slices after motion compensation.

    Args:
        before, after: reference slices, (B, 1, h, w) whole numbers in 1/64 step.

    Returns:
        Mean, rounded down, and difference; both (B, 1, h, w) whole numbers in 1/64 step.
    """
    import torch as _t

    before, after = (_t.from_numpy(np.ascontiguousarray(x, np.float64)) for x in (before, after))
    pairs = [(before, after)]
    while len(pairs) < _LEVELS and min(pairs[-1][0].shape[2:]) >= 2 * _SHORTEST:
        pairs.append((_halved(pairs[-1][0]), _halved(pairs[-1][1])))
    moves: torch.Tensor | None = None
    for first, second in reversed(pairs):
        moves = _matched(first, second, moves)
    if moves is None:
        raise ValueError("there is always one level")
    first, second = _moved(before, moves), _moved(after, -moves)
    return torch.floor((first + second) * 0.5).numpy(), (first - second).numpy()


def _halved(x: torch.Tensor) -> torch.Tensor:
    """Return the means of two by two pixels, rounded down."""
    return torch.floor(functional.avg_pool2d(x, 2, ceil_mode=True))


def _matched(
    before: torch.Tensor, after: torch.Tensor, coarser: torch.Tensor | None
) -> torch.Tensor:
    """Return motion vectors in whole pixels, (B, 2, h, w).

    Args:
        before, after: images of one pyramid level, (B, 1, h, w).
        coarser: vectors of the next coarser level, or None; doubled, then changed by one at most.
    """
    height, width = before.shape[2:]
    if coarser is None:
        start = before.new_zeros((len(before), 2, height, width))
    else:
        start = 2 * coarser.repeat_interleave(2, 2).repeat_interleave(2, 3)
        start = start[:, :, :height, :width].contiguous()
    first, second = (
        functional.pad(_moved(x, moves), [1] * 4, mode="replicate")
        for x, moves in ((before, start), (after, -start))
    )
    window = (2 * _RADIUS + 1) ** 2
    rows, columns = (
        [(start[:, [axis]] + change).abs_().mul_(_LENGTH_PRICE * window) for change in (-1, 0, 1)]
        for axis in (0, 1)
    )
    best = torch.full_like(before, torch.inf)
    choice = torch.zeros_like(before, dtype=torch.long)
    for number, (down, right) in enumerate(_CANDIDATES):
        ahead = first[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]
        behind = second[:, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        cost = _window_sums((ahead - behind).abs_().clamp_(max=_LARGEST_DIFFERENCE))
        cost += rows[1 + down]
        cost += columns[1 + right]
        cost += _CHANGE_PRICE * window * (number > 0)
        better = cost < best
        best = torch.where(better, cost, best)
        choice.masked_fill_(better, number)
    changes = start.new_tensor(_CANDIDATES).T
    return start + changes[:, choice[:, 0]].transpose(0, 1)


def _moved(x: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Sample x at every pixel plus its vector, (B, 1, h, w); edges are repeated."""
    height, width = x.shape[2:]
    rows = torch.arange(height, device=x.device)[:, None] + moves[:, 0].long()
    columns = torch.arange(width, device=x.device) + moves[:, 1].long()
    places = rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)
    return x.flatten(1).gather(1, places.flatten(1)).reshape(x.shape)


def _window_sums(x: torch.Tensor) -> torch.Tensor:
    """Return the sums over the 7 × 7 pixels around every pixel; edges are repeated."""
    extended = functional.pad(x, [_RADIUS] * 4, mode="replicate")
    for dim in (2, 3):
        length = x.shape[dim]
        two = extended.narrow(dim, 0, length + 5) + extended.narrow(dim, 1, length + 5)
        four = two.narrow(dim, 0, length) + two.narrow(dim, 2, length)
        extended = four.add_(two.narrow(dim, 4, length)).add_(extended.narrow(dim, 6, length))
    return extended
