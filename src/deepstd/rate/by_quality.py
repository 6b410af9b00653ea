"""Search for the coarsest quantisation step whose file keeps a quality.

step ─ encode, decode, measure ─▶ octaves beyond the goal ─ secant ─▶ next step

The error falls smoothly, nearly exponentially, with the step. Octaves of error beyond the goal are
therefore almost a straight line over step codes, and a secant on them needs few encodings.
"""

from __future__ import annotations

from collections.abc import Callable

from deepstd.rate.start import StepScale

# Octaves of error for an octave of the step: first guess and bounds.
_FIRST_SLOPE, _SLOPES = 0.8, (0.2, 2.5)
# Smallest distance of two steps, in octaves, that gives a slope.
_APART = 1 / 32


def coarsest(
    excess: Callable[[int], float],
    scale: StepScale,
    *,
    start: int,
    within: float,
    narrow: int = 1,
    most: int = 30,
) -> int:
    """Search the coarsest step that keeps a goal.

    Args:
        excess: returns octaves of error beyond the goal at a step code, below 0 where it misses.
        scale: scale of the step codes; larger codes are finer steps.
        start: first step code.
        within: octaves beyond the goal that end the search.
        narrow: distance of a step that keeps the goal to a coarser one that misses it that ends
            the search, too.
        most: largest number of encodings.

    Returns:
        The coarsest step code found that keeps the goal, else the finest one tried. ``excess`` was
        called for it, maybe not last.
    """
    tried: dict[int, float] = {}
    code, slope = scale.clipped(start), _FIRST_SLOPE
    while len(tried) < most and code not in tried:
        tried[code] = excess(code)
        kept = min((c for c, e in tried.items() if e >= 0), default=None)
        # Errors jump a little from step to step: a finer step may miss what a coarser one keeps.
        below = (c for c, e in tried.items() if e < 0 and (kept is None or c < kept))
        missed = max(below, default=None)
        if kept is not None and (tried[kept] <= within or kept <= scale.lowest):
            break
        if kept is not None and missed is not None and kept - missed <= narrow:
            break
        slope = _slope(list(tried.items()), scale.octave, slope)
        code = _next(tried, kept, missed, within / 2, scale.octave / slope, scale)
    return min((c for c, e in tried.items() if e >= 0), default=max(tried))


def _slope(tried: list[tuple[int, float]], octave: int, known: float) -> float:
    """Return octaves of error an octave of the step between the last two steps."""
    if len(tried) < 2 or abs(tried[-1][0] - tried[-2][0]) < octave * _APART:
        return known
    (a, low), (b, high) = tried[-2:]
    slope = (high - low) / (b - a) * octave
    return min(max(slope, _SLOPES[0]), _SLOPES[1]) if abs(slope) < float("inf") else known


def _next(
    tried: dict[int, float],
    kept: int | None,
    missed: int | None,
    aim: float,
    codes_an_octave: float,
    scale: StepScale,
) -> int:
    """Return the next step code, between those that keep and miss the goal where both are known."""
    if kept is not None and missed is not None:
        width, high, low = kept - missed, tried[kept], tried[missed]
        share = (aim - low) / (high - low) if high < float("inf") and low > -float("inf") else 0.5
        share = min(max(share, 0.05), 0.95)
        return min(max(missed + round(width * share), missed + 1), kept - 1)
    nearest = kept if kept is not None else missed
    if nearest is None:
        raise ValueError("no encoding was tried")
    octaves = aim - tried[nearest]
    # An exact scan, or one without a figure, says nothing on the distance.
    octaves = min(max(octaves, -4.0), 4.0)
    jump = round(octaves * codes_an_octave)
    return scale.clipped(nearest + (jump or (1 if octaves > 0 else -1)))
