"""Fit of the last per cent of a size: some tiles of the finest level are coded again.

    encodings, bytes missing ─ largest tiles first, another λ ─▶ encodings

Tiles do not depend on each other. Some of them can be coded with another λ while the others stay,
at a fraction of the time of another encoding of the scan.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol, TypeVar

from deepstd.rate.search import MOST_WEIGHT

# Share of its bytes by which a tile changes in a round.
_MOST_CHANGE = 0.08
# Octaves by which a tile grows where λ grows by 1: first guess and bounds.
_SLOPE = -4.0
_SLOPES = (-100.0, -0.5)
# Smallest mean change of λ from which the slope is measured.
_SURE_CHANGE = 0.002
_MOST_ROUNDS = 24
# Share of the missing bytes below which a round counts as no progress.
_LEAST_PROGRESS = 0.02
# Between two λ nearer to each other than this the size of a tile jumps.
_CLOSE = 0.0003
_Place = tuple[int, int]
_Tried = dict[float, int]


class _Part(Protocol):
    @property
    def stream(self) -> bytes: ...

    @property
    def rate_weight(self) -> float: ...


class Divided(Protocol):
    """An encoding whose tiles or slices can be coded again."""

    @property
    def coded(self) -> Sequence[_Part]:
        """Tiles, or non-reference slices."""
        ...


_Encoded = TypeVar("_Encoded", bound=Divided)


class TileCoder(Protocol[_Encoded]):
    """Interface of an encoder whose tiles or slices can be coded again."""

    def recode(self, encoded: _Encoded, weights: dict[int, float]) -> _Encoded:
        """Code some tiles of the latest encoding again, with a λ for each tile number."""
        ...


def fit_tiles(
    encoders: Sequence[TileCoder[_Encoded]],
    encoded: Sequence[_Encoded],
    nbytes: int,
    least: float,
    most: float,
) -> list[_Encoded]:
    """Code tiles again until the size of the file lies within two bounds, or near them.

    A tile changes by a few per cent where there are enough tiles, because equal λ are optimal. The
    choice of tiles depends on their sizes alone. The next λ of a tile follows from its sizes with
    other λ: the bytes of noise fall by an octave where λ grows by 0.01.

    Args:
        encoders: encoder of each frame of the scan.
        encoded: latest encoding of each frame.
        nbytes: bytes of the file with these encodings.
        least, most: bounds of the wanted bytes.

    Returns:
        Encodings whose file is within the bounds. Otherwise, encodings of the largest file found
        that is not above the bounds; where there is none, the last encodings.
    """
    fitted = list(encoded)
    best = (nbytes, list(fitted))
    slope, queue = _SLOPE, _largest_first(fitted, set())
    tried: dict[_Place, _Tried] = {}
    stuck: set[_Place] = set()
    for _ in range(_MOST_ROUNDS):
        missing = (least + most) / 2 - nbytes
        if least <= nbytes <= most or not queue:
            break
        chosen: list[_Place] = []
        before = 0
        while queue and before * _MOST_CHANGE < abs(missing):
            frame, number = queue.popleft()
            chosen.append((frame, number))
            before += len(fitted[frame].coded[number].stream)
        factor = max(1.0 + missing / max(before, 1), 0.5)
        weights: dict[_Place, float] = {}
        for frame, number in chosen:
            tile = fitted[frame].coded[number]
            known = tried.setdefault((frame, number), {})
            known[tile.rate_weight] = len(tile.stream)
            weights[frame, number] = _weight_for(known, tile.rate_weight, factor, slope)
        change = _mean([w - fitted[f].coded[n].rate_weight for (f, n), w in weights.items()])
        for frame in sorted({frame for frame, _ in chosen}):
            own = {number: weight for (other, number), weight in weights.items() if other == frame}
            fitted[frame] = encoders[frame].recode(fitted[frame], own)
        after = sum(len(fitted[frame].coded[number].stream) for frame, number in chosen)
        nbytes += after - before
        if best[0] > most or best[0] < nbytes <= most:
            best = (nbytes, list(fitted))
        if abs(after - before) < _LEAST_PROGRESS * abs(missing):
            stuck.update(chosen)  # their size does not follow λ
        queue = queue or _largest_first(fitted, stuck)
        if abs(change) > _SURE_CHANGE and before and after:
            slope = min(max(math.log2(after / before) / change, _SLOPES[0]), _SLOPES[1])
    return best[1]


def _weight_for(known: _Tried, weight: float, factor: float, slope: float) -> float:
    """Estimate the λ that scales the size of a tile by a factor.

    Args:
        known: bytes of the tile by λ.
        weight: λ of the present encoding, a key of ``known``.
        factor: wanted bytes over present bytes.
        slope: octaves by which a tile grows where λ grows by 1; used where no two λ enclose the
            wanted bytes.
    """
    octaves = {tried: math.log2(max(nbytes, 1)) for tried, nbytes in known.items()}
    goal = octaves[weight] + math.log2(factor)
    # A larger λ makes a smaller tile.
    large = max((tried for tried, size in octaves.items() if size >= goal), default=None)
    small = min((tried for tried, size in octaves.items() if size < goal), default=None)
    if large is None or small is None:
        found = weight + math.log2(factor) / slope
    elif abs(small - large) < _CLOSE:
        found = weight
    else:
        share = (octaves[large] - goal) / (octaves[large] - octaves[small])
        found = large + min(max(share, 0.1), 0.9) * (small - large)
    return min(max(found, 0.0), MOST_WEIGHT)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _largest_first(encoded: Sequence[Divided], without: set[_Place]) -> deque[_Place]:
    """Return frame and number of the tiles that are not in ``without``, largest first."""
    sizes = [
        (len(tile.stream), frame, number)
        for frame, texture in enumerate(encoded)
        for number, tile in enumerate(texture.coded)
        if (frame, number) not in without
    ]
    return deque((frame, number) for _, frame, number in sorted(sizes, reverse=True))
