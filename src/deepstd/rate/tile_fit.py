"""The last per cent of a size, met by coding some tiles of the finest level again.

    encodings, bytes missing ─ largest tiles first, another weight of the rate ─▶ encodings

Tiles do not depend on each other, so a part of them can be brought to more or fewer bytes without
touching the rest: a fraction of the work of another encoding of the whole.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol, TypeVar

_MOST_CHANGE = 0.08
_MOST_WEIGHT = 0.45
_SLOPE = -4.0
_SLOPES = (-100.0, -0.5)
_SURE_CHANGE = 0.002
_MOST_ROUNDS = 24
_LEAST_PROGRESS = 0.02
# Between two weights nearer to each other than this the size of a tile jumps.
_CLOSE = 0.0003
_Place = tuple[int, int]
_Tried = dict[float, int]


class _Part(Protocol):
    @property
    def stream(self) -> bytes: ...

    @property
    def rate_weight(self) -> float: ...


class Divided(Protocol):
    """An encoding of parts that can be coded again."""

    @property
    def coded(self) -> Sequence[_Part]:
        """Tiles or slices."""
        ...


_Encoded = TypeVar("_Encoded", bound=Divided)


class TileCoder(Protocol[_Encoded]):
    """What is needed of an encoder."""

    def recode(self, encoded: _Encoded, weights: dict[int, float]) -> _Encoded:
        """The latest encoding with some tiles coded again."""
        ...


def fit_tiles(
    encoders: Sequence[TileCoder[_Encoded]],
    encoded: Sequence[_Encoded],
    nbytes: int,
    least: float,
    most: float,
) -> list[_Encoded]:
    """Encodings whose file has a size within two bounds, or comes near them.

    A tile changes by at most a few per cent where enough of them are left, because equal weights
    are the best ones. Which tiles are coded again depends on sizes alone. The sizes that a tile had
    with other weights say which weight is next: the bytes of noise fall by an octave where the
    weight grows by a hundredth.

    Args:
        encoders: of the frames of a scan.
        encoded: the latest encoding of each.
        nbytes: of the file with them.
        least, most: bytes wanted.

    Returns:
        The encodings whose file is within the bounds; else the largest file found that is not
        above them, and where there is none, the last one found.
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
            stuck.update(chosen)  # these tiles do not go with the weight, as far as it can tell
        queue = queue or _largest_first(fitted, stuck)
        if abs(change) > _SURE_CHANGE and before and after:
            slope = min(max(math.log2(after / before) / change, _SLOPES[0]), _SLOPES[1])
    return best[1]


def _weight_for(known: _Tried, weight: float, factor: float, slope: float) -> float:
    """The weight that should make a tile so many times as large as with this one.

    Args:
        known: bytes of the tile at every weight that was tried.
        weight: one of these.
        factor: of the bytes wanted to those with it.
        slope: octaves of bytes for a weight larger by 1, where nothing better is known.
    """
    octaves = {tried: math.log2(max(nbytes, 1)) for tried, nbytes in known.items()}
    goal = octaves[weight] + math.log2(factor)
    # A larger weight makes a smaller tile.
    large = max((tried for tried, size in octaves.items() if size >= goal), default=None)
    small = min((tried for tried, size in octaves.items() if size < goal), default=None)
    if large is None or small is None:
        found = weight + math.log2(factor) / slope
    elif abs(small - large) < _CLOSE:
        found = weight
    else:
        share = (octaves[large] - goal) / (octaves[large] - octaves[small])
        found = large + min(max(share, 0.1), 0.9) * (small - large)
    return min(max(found, 0.0), _MOST_WEIGHT)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _largest_first(encoded: Sequence[Divided], without: set[_Place]) -> deque[_Place]:
    """Frame and number of all tiles but some."""
    sizes = [
        (len(tile.stream), frame, number)
        for frame, texture in enumerate(encoded)
        for number, tile in enumerate(texture.coded)
        if (frame, number) not in without
    ]
    return deque((frame, number) for _, frame, number in sorted(sizes, reverse=True))
