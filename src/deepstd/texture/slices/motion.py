"""What a slice looks like, judging by the decoded ones on either side of it.

    slice before, slice after ─ halve ─ halve ─▶ coarse to fine: where does before at x + v
    look most like after at x − v ─▶ mean of the two, and by how much they differ

Structures that lean move from slice to slice. Where the slice in question lies half way, whatever
moves by 2 v between its neighbours passes it at v, so the neighbours alone tell the movement and a
file need not hold it (bilateral matching, Choi et al. 2007; video codecs refine vectors with it).
Everything is computed in whole numbers, so encoder and decoder agree on every machine.
"""

from __future__ import annotations

from itertools import product

import torch
from torch.nn import functional

from deepstd.texture.entropy.features import UNITS_PER_STEP

_LEVELS = 3
_SHORTEST = 16
_RADIUS = 3
_LARGEST_DIFFERENCE = 16 * UNITS_PER_STEP
# In units a pixel of the window: for leaving what the coarser level found, and for its length.
_CHANGE_PRICE = 4
_LENGTH_PRICE = 2
_CANDIDATES = sorted(product((-1, 0, 1), repeat=2), key=lambda v: abs(v[0]) + abs(v[1]))


def halfway(before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of two images that were moved towards each other, and their difference.

    Args:
        before, after: (B, 1, h, w) whole numbers in units of 1/64 step.

    Returns:
        Both (B, 1, h, w), whole numbers.
    """
    pairs = [(before, after)]
    while len(pairs) < _LEVELS and min(pairs[-1][0].shape[2:]) >= 2 * _SHORTEST:
        pairs.append((_halved(pairs[-1][0]), _halved(pairs[-1][1])))
    moves: torch.Tensor | None = None
    for first, second in reversed(pairs):
        moves = _matched(first, second, moves)
    if moves is None:
        raise ValueError("there is always one level")
    first, second = _moved(before, moves), _moved(after, -moves)
    return torch.floor((first + second) * 0.5), first - second


def _halved(x: torch.Tensor) -> torch.Tensor:
    """Means of two by two pixels, rounded down."""
    return torch.floor(functional.avg_pool2d(x, 2, ceil_mode=True))


def _matched(
    before: torch.Tensor, after: torch.Tensor, coarser: torch.Tensor | None
) -> torch.Tensor:
    """Moves (B, 2, h, w), whole pixels: the coarser level's doubled, changed by one at most."""
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
    """x at every pixel's place plus its move, (B, 1, h, w); places beyond an edge lie on it."""
    height, width = x.shape[2:]
    rows = torch.arange(height, device=x.device)[:, None] + moves[:, 0].long()
    columns = torch.arange(width, device=x.device) + moves[:, 1].long()
    places = rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)
    return x.flatten(1).gather(1, places.flatten(1)).reshape(x.shape)


def _window_sums(x: torch.Tensor) -> torch.Tensor:
    """Sums over the seven by seven pixels around every one; edges are repeated."""
    extended = functional.pad(x, [_RADIUS] * 4, mode="replicate")
    for dim in (2, 3):
        length = x.shape[dim]
        two = extended.narrow(dim, 0, length + 5) + extended.narrow(dim, 1, length + 5)
        four = two.narrow(dim, 0, length) + two.narrow(dim, 2, length)
        extended = four.add_(two.narrow(dim, 4, length)).add_(extended.narrow(dim, 6, length))
    return extended
