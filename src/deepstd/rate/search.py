"""Rate: a requested size, and the search for the file that has it.

    Target(ratio | bpv | max_bytes) ─▶ bytes ─ search over real encodings ─▶ step, rate weight
    encodings of a part of a large scan ─ estimate ─▶ where to start

The size of a file falls smoothly, nearly exponentially, as the step grows; a secant on its
logarithm gets close in a few encodings. The last bytes are met by the weight of the rate in the
quantiser, which moves single symbols and needs no place in the file: in the last pass first,
because a symbol that others depend on changes what is expected of them, and the size jumps. Sizes
are those of finished files, never estimates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real

from deepstd.errors import RateError

LOWEST_FILL = 0.997
_MOST_ENCODINGS = 100
# How far from a step that misses the window others are tried; fewer where a scan is large enough
# to be divided, because each is another encoding of the whole.
_FARTHEST, _FEW = _MOST_ENCODINGS, 3
_NEAR = 0.03
# Octaves by which a file grows with the weight, typically; it differs from scan to scan.
_WEIGHT_SLOPE = -1.5
_WEIGHT_SLOPES = (-6.0, -0.5)
_WEIGHT_TRIES = 8
# Weights nearer to each other than this say nothing new: the size jumps between them.
_CLOSE = 0.0003
_MOST_WEIGHT = 0.45
_MOST_BYTES = 1 << 62
_FIRST_SLOPE = 1.0
_SLOPES = (0.3, 1.5)
_ESTIMATES = 2
# Bits of a coefficient that is not quantised to zero, where three in a hundred are not, and the
# power of their share that the bits grow with: as of X-rays, MR and CT at 16:1 to 512:1.
_SIGNIFICANT_BITS, _USUAL_SHARE, _GROWTH = 3.3, 0.03, 0.13


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
        # Not isfinite: an integer may be too large for a float.
        if not isinstance(given[0], Real) or not 0 < given[0] < math.inf:
            raise RateError(f"the requested rate must be a positive number, not {given[0]!r}")

    def bytes_for(self, voxels: int, stored_bytes: int) -> int:
        """Largest allowed file size for a scan; at least one byte."""
        wanted: float = self.max_bytes or 0
        if self.ratio is not None:
            wanted = stored_bytes / self.ratio
        elif self.bpv is not None:
            wanted = voxels * self.bpv / 8
        return math.floor(min(max(wanted, 1), _MOST_BYTES))


def note_on_fill(nbytes: int, allowed: int, *, exact: bool) -> str | None:
    """Return why a file has fewer bytes than were asked for; None where it fills them.

    Args:
        nbytes: of the file.
        allowed: bytes asked for.
        exact: whether every voxel comes back as it was.
    """
    if nbytes >= LOWEST_FILL * allowed:
        return None
    told = (
        f"the file has {nbytes} of the {allowed} bytes asked for ({100 * nbytes / allowed:.1f} %)"
    )
    if exact:
        return f"{told}: it needs no more, as every voxel comes back exactly"
    return f"{told}: the sizes that this scan can be coded in jump across the rest"


def in_words(nbytes: int, voxels: int, stored_bytes: int) -> str:
    """Return a size in the words of the options that ask for it.

    Args:
        nbytes: of a file.
        voxels, stored_bytes: of the scan.
    """
    ratio = math.floor(100 * stored_bytes / nbytes) / 100
    bpv = math.ceil(1e4 * 8 * nbytes / voxels) / 1e4
    return f"at least {nbytes} bytes (--max-bytes {nbytes}, --ratio {ratio}, --bpv {bpv})"


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


def first_start(
    significant: Callable[[int], float],
    voxels: int,
    wanted: int,
    *,
    lowest: int,
    highest: int,
    octave: int,
) -> Start:
    """A start for the search, before anything is encoded: from how many coefficients are not zero.

    The bytes of a texture are nearly proportional to them (the ρ domain of He and Mitra, 2002).

    Args:
        significant: number of coefficients not quantised to zero at a step code.
        voxels: of the scan.
        wanted: bytes.
        lowest, highest: range of step codes.
        octave: step codes that halve the step.
    """

    def octaves(step_code: int) -> float:
        count = max(significant(step_code), 1.0)
        bits = _SIGNIFICANT_BITS * (count / voxels / _USUAL_SHARE) ** _GROWTH
        return math.log2(count * bits / 8 / wanted)

    low, high = lowest, highest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if octaves(middle) < 0 else (low, middle)
    slope = octaves(low + octave // 2) - octaves(low - octave // 2)
    return Start(low, min(max(slope, _SLOPES[0]), _SLOPES[1]))


def estimate(size: Callable[[int], int], wanted: int, *, start: Start, octave: int) -> Start:
    """A start for the search, from encodings of something smaller.

    Args:
        size: bytes for a step code.
        wanted: bytes.
        start: where to begin.
        octave: step codes that halve the step.
    """
    guess = start
    tried: list[tuple[int, float]] = []
    for _ in range(_ESTIMATES):
        tried.append((guess.step_code, math.log2(size(guess.step_code))))
        slope = _slope(tried, octave, guess.slope)
        code, log_size = tried[-1]
        guess = Start(code + round((math.log2(wanted) - log_size) * octave / slope), slope)
    return guess


def start_near(
    point: Point, goal: float, *, slope: float, rate_weight: float, octave: int
) -> Start:
    """Where to begin, given another encoding of about the wanted size.

    Args:
        point: its quantiser and its bytes.
        goal: bytes wanted, as of an encoding like it.
        slope: octaves by which a file grows when the step is halved.
        rate_weight: usual rate weight, which the search begins with.
        octave: step codes that halve the step.
    """
    missing = math.log2(goal / point.nbytes) + _WEIGHT_SLOPE * (point.rate_weight - rate_weight)
    return Start(point.step_code + round(missing * octave / slope), slope)


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
    fill: float,
    start: Start,
    rate_weight: float,
    lowest: int,
    highest: int,
    octave: int,
    describe: Callable[[int], str],
    fit: Callable[[Point], Point] | None = None,
    last: Callable[[int, float], int] | None = None,
) -> Point:
    """Find the quantiser whose file fills the allowed bytes.

    Args:
        size: bytes of the whole file for a step code (larger: finer) and a rate weight.
        allowed: bytes.
        fill: least part of them that is enough.
        start: where to begin.
        rate_weight: usual rate weight.
        lowest, highest: range of step codes; at ``highest`` nothing more can be gained.
        octave: step codes that halve the step.
        describe: says in words what a number of bytes means as a request.
        fit: brings the latest encoding nearer to the allowed size by changing a part of it;
            None where that cannot be done.
        last: bytes for a step code, with another rate weight for symbols that no others depend on;
            None where ``fit`` does that.

    Returns:
        The largest encoding found within the allowed bytes. It is smaller than the window only
        when even the finest useful step, with no symbol given up for its bits, does not fill it.

    Raises:
        RateError: even the coarsest step needs more bytes; names the size that can be reached.
    """
    sizes = _Sizes(size, allowed, fill)

    def adjust(point: Point) -> Point:
        """Meet the last bytes from the latest encoding, which is this one."""
        return _adjusted(sizes, point, last) if fit is None else sizes.take(fit(point))

    low: Point | None = None
    high: Point | None = None
    code, slope = min(max(start.step_code, lowest), highest), start.slope
    measured: list[tuple[int, float]] = []
    while sizes.left:
        point = sizes.at(code, rate_weight)
        if sizes.good(point):
            return point
        measured.append((code, math.log2(point.nbytes)))
        slope = _slope(measured, octave, slope)
        if point.nbytes <= allowed:
            low = point
            if code >= highest:
                return _refined(sizes, point)
        else:
            high = point
            if code <= lowest:
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
            _around(sizes, point, (lowest, highest), adjust, _FARTHEST if fit is None else _FEW)
            break
        code = min(max(_next_code(low, high, sizes.goal, octave / slope), lowest), highest)
    if sizes.best is None:
        raise RateError(f"no file of at most {allowed} bytes was found; ask for a little more")
    return sizes.best


def _around(
    sizes: _Sizes,
    tried: Point,
    codes: tuple[int, int],
    adjust: Callable[[Point], Point],
    farthest: int,
) -> None:
    """Neighbouring steps, and theirs: one may reach what others cannot, as small files jump."""
    for distance in range(1, farthest + 1):
        for code in (tried.step_code - distance, tried.step_code + distance):
            if not codes[0] <= code <= codes[1] or not sizes.left:
                continue
            point = sizes.at(code, tried.rate_weight)
            if sizes.good(point) or sizes.good(adjust(point)):
                return


def _refined(sizes: _Sizes, point: Point) -> Point:
    """At the finest step, room that is left goes to symbols that were not worth their bits."""
    exact = sizes.at(point.step_code, 0.0)
    if exact is sizes.best:
        return exact
    if exact.nbytes > point.nbytes:
        _adjust(sizes, point, lambda weight: sizes.at(point.step_code, weight))
    return sizes.best or point


def _adjusted(sizes: _Sizes, point: Point, last: Callable[[int, float], int] | None) -> Point:
    """Meet the last bytes with the weight of symbols that no others depend on, or else of all."""
    if last is not None:

        def again(weight: float) -> Point:
            sizes.left -= 1
            return sizes.take(replace(point, nbytes=last(point.step_code, weight)))

        adjusted = _adjust(sizes, point, again)
        if sizes.good(adjusted):
            return adjusted
    return _adjust(sizes, point, lambda weight: sizes.at(point.step_code, weight))


class _Sizes:
    """Encodings tried so far, and the largest of them that is allowed."""

    def __init__(self, size: Callable[[int, float], int], allowed: int, fill: float) -> None:
        self._size, self._allowed, self._fill = size, allowed, fill
        self.goal = math.log2(allowed * (1 + fill) / 2)
        self.left = _MOST_ENCODINGS
        self.best: Point | None = None

    def at(self, code: int, weight: float) -> Point:
        self.left -= 1
        return self.take(Point(code, weight, self._size(code, weight)))

    def take(self, point: Point) -> Point:
        largest = 0 if self.best is None else self.best.nbytes
        if largest < point.nbytes <= self._allowed:
            self.best = point
        return point

    def good(self, point: Point) -> bool:
        return self._fill * self._allowed <= point.nbytes <= self._allowed


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
    """Meet the last bytes with the rate weight of encodings like this; the last one tried."""
    weight = point.rate_weight
    # Weights that gave too large and too small a file, with the logarithms of their sizes.
    large: tuple[float, float] | None = None
    small: tuple[float, float] | None = None
    before: tuple[float, float] | None = None
    slope = _WEIGHT_SLOPE
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
        other = min(max(other, 0.0), _MOST_WEIGHT)
        if other == weight or not sizes.left:
            break
        weight = other
        point = again(weight)
        if sizes.good(point):
            break
    return point
