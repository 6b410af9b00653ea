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
_SLOPES = (-16.0, -0.5)
_SURE_CHANGE = 0.002
_MOST_ROUNDS = 16
_LEAST_PROGRESS = 0.02


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
    are the best ones. Which tiles are coded again depends on sizes alone.

    Args:
        encoders: of the frames of a scan.
        encoded: the latest encoding of each.
        nbytes: of the file with them.
        least, most: bytes wanted.
    """
    fitted = list(encoded)
    slope, queue = _SLOPE, _largest_first(fitted)
    for _ in range(_MOST_ROUNDS):
        missing = (least + most) / 2 - nbytes
        if least <= nbytes <= most or not queue:
            break
        chosen: list[tuple[int, int]] = []
        before = 0
        while queue and before * _MOST_CHANGE < abs(missing):
            frame, number = queue.popleft()
            chosen.append((frame, number))
            before += len(fitted[frame].coded[number].stream)
        queue = queue or _largest_first(fitted)
        octaves = math.log2(max(1.0 + missing / max(before, 1), 0.5))
        change = octaves / slope
        for frame in sorted({frame for frame, _ in chosen}):
            tiles = fitted[frame].coded
            weights = {
                number: min(max(tiles[number].rate_weight + change, 0.0), _MOST_WEIGHT)
                for other, number in chosen
                if other == frame
            }
            fitted[frame] = encoders[frame].recode(fitted[frame], weights)
        after = sum(len(fitted[frame].coded[number].stream) for frame, number in chosen)
        nbytes += after - before
        if abs(after - before) < _LEAST_PROGRESS * abs(missing):
            break  # these tiles do not go with the weight: the step has to change
        if abs(change) > _SURE_CHANGE and before and after:
            slope = min(max(math.log2(after / before) / change, _SLOPES[0]), _SLOPES[1])
    return fitted


def _largest_first(encoded: Sequence[Divided]) -> deque[tuple[int, int]]:
    """Frame and number of all tiles."""
    sizes = [
        (len(tile.stream), frame, number)
        for frame, texture in enumerate(encoded)
        for number, tile in enumerate(texture.coded)
    ]
    return deque((frame, number) for _, frame, number in sorted(sizes, reverse=True))
