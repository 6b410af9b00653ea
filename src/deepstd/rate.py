"""Rate: a requested size, and the search for the file that has it.

    Target(ratio | bpv | max_bytes) ─▶ bytes ─ search over real encodings ─▶ step, rate weight
    encodings of a part of a large scan ─ estimate ─▶ where to start

The size of a file falls smoothly, nearly exponentially, as the step grows; a secant on its
logarithm gets close in a few encodings. The last bytes are met by the weight of the rate in the
quantiser, which moves single symbols and needs no place in the file. Sizes are those of finished
files, never estimates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from deepstd.errors import RateError

LOWEST_FILL = 0.997
_MOST_ENCODINGS = 40
_WEIGHT_REACH = 0.07
_FIRST_SLOPE = 0.75
_SLOPES = (0.3, 1.5)
_ESTIMATES = 3


@dataclass(frozen=True)
class Target:
    """How large a file may be; exactly one of the three is given.

    Attributes:
        ratio: bytes of the stored voxels divided by bytes of the whole file.
        bpv: bits of the whole file per voxel.
        max_bytes: bytes of the whole file.
    """

    ratio: float | None = None
    bpv: float | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.ratio, self.bpv, self.max_bytes) if v is not None]
        if len(given) != 1:
            raise RateError("give exactly one of ratio, bpv and max_bytes")
        if not (given[0] > 0 and math.isfinite(given[0])):
            raise RateError(f"the requested rate must be a positive number, not {given[0]}")

    def bytes_for(self, voxels: int, stored_bytes: int) -> int:
        """Largest allowed file size for a scan."""
        if self.ratio is not None:
            return math.floor(stored_bytes / self.ratio)
        if self.bpv is not None:
            return math.floor(voxels * self.bpv / 8)
        return int(self.max_bytes or 0)


@dataclass(frozen=True)
class Point:
    """One encoding: its quantiser and the size of the file it gives."""

    step_code: int
    rate_weight: float
    nbytes: int


@dataclass(frozen=True)
class Start:
    """Where a search begins.

    Attributes:
        step_code: first step code to try.
        slope: octaves by which a file grows when the step is halved.
    """

    step_code: int
    slope: float = _FIRST_SLOPE


def estimate(size: Callable[[int], int], wanted: int, *, start: int, octave: int) -> Start:
    """A start for the search, from a few encodings of something smaller.

    Args:
        size: bytes for a step code.
        wanted: bytes.
        start: first step code to try.
        octave: step codes that halve the step.
    """
    guess = Start(start)
    tried: list[tuple[int, float]] = []
    for _ in range(_ESTIMATES):
        tried.append((guess.step_code, math.log2(size(guess.step_code))))
        slope = _slope(tried, octave, guess.slope)
        code, log_size = tried[-1]
        guess = Start(code + round((math.log2(wanted) - log_size) * octave / slope), slope)
    return guess


def _slope(tried: list[tuple[int, float]], octave: int, known: float) -> float:
    """Slope between the last two (step code, log2 size), where they are far enough apart."""
    if len(tried) < 2 or abs(tried[-1][0] - tried[-2][0]) < octave / 64:
        return known
    (a, low), (b, high) = tried[-2:]
    return min(max((high - low) / (b - a) * octave, _SLOPES[0]), _SLOPES[1])


def search(
    size: Callable[[int, float], int],
    allowed: int,
    *,
    start: Start,
    rate_weight: float,
    lowest: int,
    highest: int,
    octave: int,
    describe: Callable[[int], str],
) -> Point:
    """Find the quantiser whose file fills 0.997 to 1.000 of the allowed bytes.

    Args:
        size: bytes of the whole file for a step code (larger: finer) and a rate weight.
        allowed: bytes.
        start: where to begin.
        rate_weight: usual rate weight.
        lowest, highest: range of step codes; at ``highest`` nothing more can be gained.
        octave: step codes that halve the step.
        describe: says in words what a number of bytes means as a request.

    Returns:
        The largest encoding found within the allowed bytes. It is smaller than the window only
        when even the finest useful step does not fill it.

    Raises:
        RateError: even the coarsest step needs more bytes; names the size that can be reached.
    """
    tried: dict[tuple[int, float], int] = {}

    def at(code: int, weight: float) -> int:
        if (code, weight) not in tried:
            tried[code, weight] = size(code, weight)
        return tried[code, weight]

    def good(nbytes: int) -> bool:
        return LOWEST_FILL * allowed <= nbytes <= allowed

    low: Point | None = None
    high: Point | None = None
    code, slope = min(max(start.step_code, lowest), highest), start.slope
    sizes: list[tuple[int, float]] = []
    while len(tried) < _MOST_ENCODINGS:
        nbytes = at(code, rate_weight)
        if good(nbytes):
            return Point(code, rate_weight, nbytes)
        sizes.append((code, math.log2(nbytes)))
        slope = _slope(sizes, octave, slope)
        if nbytes <= allowed:
            low = Point(code, rate_weight, nbytes)
            if code >= highest:
                return low
        else:
            high = Point(code, rate_weight, nbytes)
            if code <= lowest:
                raise RateError(
                    f"cannot make the file that small: {allowed} bytes were asked for and "
                    f"{nbytes} are needed. Ask for {describe(nbytes)}."
                )
        if low is not None and high is not None and high.step_code - low.step_code <= 1:
            break
        code = _next_code(low, high, allowed, octave / slope)
        code = min(max(code, lowest), highest)
    return _adjust(at, good, low, high, rate_weight, allowed)


def _next_code(low: Point | None, high: Point | None, allowed: int, codes_an_octave: float) -> int:
    goal = math.log2(allowed * (1 + LOWEST_FILL) / 2)
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


def _adjust(
    at: Callable[[int, float], int],
    good: Callable[[int], bool],
    low: Point | None,
    high: Point | None,
    rate_weight: float,
    allowed: int,
) -> Point:
    """Meet the last bytes with the rate weight, between two neighbouring steps."""
    candidates = [p for p in (low,) if p is not None]
    for point, direction in ((high, 1.0), (low, -1.0)):
        if point is None:
            continue
        near, far = 0.0, direction * _WEIGHT_REACH
        for _ in range(12):
            middle = (near + far) / 2
            weight = min(max(rate_weight + middle, 0.0), 0.45)
            nbytes = at(point.step_code, weight)
            if nbytes <= allowed:
                candidates.append(Point(point.step_code, weight, nbytes))
            if good(nbytes):
                return candidates[-1]
            # A larger weight gives a smaller file.
            if (nbytes > allowed) == (direction > 0):
                near = middle
            else:
                far = middle
    if not candidates:
        raise RateError(f"no file of at most {allowed} bytes was found; ask for a little more")
    return max(candidates, key=lambda p: p.nbytes)
