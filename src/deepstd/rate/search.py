"""Rate control: search for the quantiser whose file has a requested size.

    Target(ratio | bpv | max_bytes) ─▶ bytes ─ search over real encodings ─▶ step, λ
    encodings of a part of a large scan ─ estimate ─▶ first step

The size of a file falls smoothly, nearly exponentially, as the step grows. A secant on its
logarithm gets close in a few encodings. The last bytes are met by λ, the rate weight of the
quantiser, which moves single symbols and is not stored. λ changes in the last pass first: a symbol
of an earlier pass changes the predictions of later symbols, and the size jumps. All sizes are
sizes of finished files, never estimates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from deepstd.errors import RateError
from deepstd.rate.start import WEIGHT_SLOPE, Point, Start, StepScale, slope_of

_MOST_ENCODINGS = 100
# Farthest step codes that are tried around a step that misses the window. Fewer for a scan with
# tiles: each is another encoding of a large scan.
_FARTHEST, _FEW = _MOST_ENCODINGS, 3
# Octaves of size within which λ meets the rest.
_NEAR = 0.03
# Bounds of the octaves by which a file grows where λ grows by 1.
_WEIGHT_SLOPES = (-6.0, -0.1)
_WEIGHT_TRIES = 8
# Between two λ nearer to each other than this the size jumps.
_CLOSE = 0.0003
MOST_WEIGHT = 0.45
"""Largest λ, in squared steps a bit: above it, most coefficients of magnitude 1 become zero."""


@dataclass(frozen=True)
class SizeWindow:
    """Accepted sizes of a file.

    Attributes:
        allowed: most bytes of the file.
        fill: smallest share of the allowed bytes that is accepted, below 1.
    """

    allowed: int
    fill: float

    @property
    def least(self) -> float:
        """Fewest bytes of the file."""
        return self.fill * self.allowed

    def holds(self, nbytes: int) -> bool:
        """Return True if a size is accepted."""
        return self.least <= nbytes <= self.allowed


def search(
    size: Callable[[int, float], int],
    window: SizeWindow,
    scale: StepScale,
    *,
    start: Start,
    rate_weight: float,
    describe: Callable[[int], str],
    fit: Callable[[Point], Point] | None = None,
    last: Callable[[int, float], int] | None = None,
) -> Point:
    """Find the quantiser whose file fills the allowed bytes.

    Args:
        size: returns the bytes of the whole file for a step code (larger: finer) and a λ.
        window: accepted sizes.
        scale: scale of the step codes; finer steps than its highest code gain nothing.
        start: first step code, and slope of the size.
        rate_weight: usual λ.
        describe: returns a text that states a number of bytes as a request.
        fit: brings the latest encoding nearer to the allowed size by coding a part of it again;
            None for scans without tiles or slices.
        last: returns the bytes for a step code and a λ of the last pass alone; None for scans
            with tiles or slices.

    Returns:
        The largest encoding found within the allowed bytes. Its file is below the window only
        where sizes jump, or where the finest step with λ = 0 does not fill it.

    Raises:
        RateError: even the coarsest step needs more bytes; names the size that can be reached.
    """
    sizes, allowed = _Sizes(size, window), window.allowed

    def adjust(point: Point) -> Point:
        """Meet the last bytes, starting from the latest encoding, which ``point`` describes."""
        return _adjusted(sizes, point, last) if fit is None else sizes.take(fit(point))

    low: Point | None = None
    high: Point | None = None
    code, slope = scale.clipped(start.step_code), start.slope
    measured: list[tuple[int, float]] = []
    while sizes.left:
        point = sizes.at(code, rate_weight)
        if sizes.good(point):
            return point
        measured.append((code, math.log2(point.nbytes)))
        slope = slope_of(measured, scale.octave, slope)
        if point.nbytes <= allowed:
            low = point
            if code >= scale.highest:
                return _refined(sizes, point)
        else:
            high = point
            if code <= scale.lowest:
                raise RateError(
                    f"cannot make the file that small: {allowed} bytes were asked for and "
                    f"{point.nbytes} are needed. Ask for {describe(point.nbytes)}."
                )
        narrow = low is not None and high is not None and high.step_code - low.step_code <= 1
        if narrow or abs(math.log2(point.nbytes) - sizes.goal) < _NEAR:
            adjusted = adjust(point)
            if sizes.good(adjusted):
                return adjusted
        if narrow:
            _around(sizes, point, scale, adjust, _FARTHEST if fit is None else _FEW)
            break
        code = scale.clipped(_next_code(low, high, sizes.goal, scale.octave / slope))
    if sizes.best is None:
        raise RateError(f"no file of at most {allowed} bytes was found; ask for a little more")
    return sizes.best


def _around(
    sizes: _Sizes,
    tried: Point,
    scale: StepScale,
    adjust: Callable[[Point], Point],
    farthest: int,
) -> None:
    """Try the step codes around a step: sizes of small files jump, and another step may fit."""
    for distance in range(1, farthest + 1):
        for code in (tried.step_code - distance, tried.step_code + distance):
            if scale.clipped(code) != code or not sizes.left:
                continue
            point = sizes.at(code, tried.rate_weight)
            if sizes.good(point) or sizes.good(adjust(point)):
                return


def _refined(sizes: _Sizes, point: Point) -> Point:
    """Fill the file at the finest step with a smaller λ."""
    exact = sizes.at(point.step_code, 0.0)
    if exact is sizes.best:
        return exact
    if exact.nbytes > point.nbytes:
        _adjust(sizes, point, lambda weight: sizes.at(point.step_code, weight))
    return sizes.best or point


def _adjusted(sizes: _Sizes, point: Point, last: Callable[[int, float], int] | None) -> Point:
    """Meet the last bytes with the λ of the last pass, else with the λ of all passes."""
    if last is not None:

        def again(weight: float) -> Point:
            sizes.left -= 1
            return sizes.take(replace(point, nbytes=last(point.step_code, weight)))

        adjusted = _adjust(sizes, point, again)
        if sizes.good(adjusted):
            return adjusted
    return _adjust(sizes, point, lambda weight: sizes.at(point.step_code, weight))


class _Sizes:
    """Sizes of the encodings tried so far, and the largest encoding that is allowed."""

    def __init__(self, size: Callable[[int, float], int], window: SizeWindow) -> None:
        self._size, self._window = size, window
        self.goal = math.log2(window.allowed * (1 + window.fill) / 2)
        self.left = _MOST_ENCODINGS
        self.best: Point | None = None

    def at(self, code: int, weight: float) -> Point:
        self.left -= 1
        return self.take(Point(code, weight, self._size(code, weight)))

    def take(self, point: Point) -> Point:
        largest = 0 if self.best is None else self.best.nbytes
        if largest < point.nbytes <= self._window.allowed:
            self.best = point
        return point

    def good(self, point: Point) -> bool:
        return self._window.holds(point.nbytes)


def _next_code(low: Point | None, high: Point | None, goal: float, codes_an_octave: float) -> int:
    if low is not None and high is not None:
        width = high.step_code - low.step_code
        a, b = math.log2(low.nbytes), math.log2(high.nbytes)
        share = (goal - a) / (b - a) if b > a else 0.5
        share = min(max(share, 0.05), 0.95)
        return min(max(low.step_code + round(width * share), low.step_code + 1), high.step_code - 1)
    known = low if low is not None else high
    if known is None:
        raise ValueError("no encoding was tried")
    jump = round((goal - math.log2(known.nbytes)) * codes_an_octave)
    return known.step_code + (jump or (1 if low is not None else -1))


def _adjust(sizes: _Sizes, point: Point, again: Callable[[float], Point]) -> Point:
    """Search the λ that meets the last bytes; return the last encoding tried."""
    weight = point.rate_weight
    # λ that gave too large and too small a file, with the log2 of their sizes.
    large: tuple[float, float] | None = None
    small: tuple[float, float] | None = None
    before: tuple[float, float] | None = None
    slope = WEIGHT_SLOPE
    for _ in range(_WEIGHT_TRIES):
        here = weight, math.log2(point.nbytes)
        if here[1] > sizes.goal:
            large = here
        else:
            small = here
        if large is not None and small is not None:
            if abs(small[0] - large[0]) < _CLOSE:
                break
            share = min(max((large[1] - sizes.goal) / (large[1] - small[1]), 0.1), 0.9)
            other = large[0] + share * (small[0] - large[0])
        else:
            if before is not None:
                found = (here[1] - before[1]) / (here[0] - before[0])
                steady = min(max(found, _WEIGHT_SLOPES[0]), _WEIGHT_SLOPES[1])
                slope = steady if found else slope / 4
            other = here[0] + (sizes.goal - here[1]) / slope
            before = here
        other = min(max(other, 0.0), MOST_WEIGHT)
        if other == weight or not sizes.left:
            break
        weight = other
        point = again(weight)
        if sizes.good(point):
            break
    return point
