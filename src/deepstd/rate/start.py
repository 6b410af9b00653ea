"""First quantisation steps of a search, estimated without coding or from other encodings.

sizes estimated at a few steps, or sizes of another search ─▶ Start: step and slope
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

# Bits per significant coefficient where 3 % of the coefficients are significant, and the power by
# which the bits grow with that share: measured on X-rays, MR and CT at 16:1 to 512:1.
_SIGNIFICANT_BITS, _USUAL_SHARE, _GROWTH = 3.3, 0.03, 0.13
# Octaves by which a file grows when the step is halved: first guess and measured bounds.
_FIRST_SLOPE, _SLOPES = 1.0, (0.3, 1.5)
_ESTIMATES = 2
WEIGHT_SLOPE = -1.5
"""Octaves by which a file typically grows where λ grows by 1; it differs from scan to scan."""


@dataclass(frozen=True)
class Point:
    """Quantiser of an encoding (step code and λ), and size of its file in bytes."""

    step_code: int
    rate_weight: float
    nbytes: int


@dataclass(frozen=True)
class StepScale:
    """Scale of the step codes: larger codes are finer steps.

    Attributes:
        lowest, highest: range of step codes.
        octave: step codes that halve the step.
    """

    lowest: int
    highest: int
    octave: int

    def clipped(self, step_code: int) -> int:
        """Return the nearest step code of the range."""
        return min(max(step_code, self.lowest), self.highest)


@dataclass(frozen=True)
class Start:
    """First step of a search.

    Attributes:
        step_code: first step code to try.
        slope: octaves by which a file grows when the step is halved.
    """

    step_code: int
    slope: float = _FIRST_SLOPE


def first_start(
    significant: Callable[[int], float], voxels: int, wanted: int, scale: StepScale
) -> Start:
    """Estimate the first step from the number of significant coefficients, without encoding.

    The bytes of a texture are nearly proportional to the number of coefficients that are not
    quantised to zero (the ρ domain of He and Mitra, 2002).

    Args:
        significant: returns the number of significant coefficients at a step code.
        voxels: number of voxels of the scan.
        wanted: bytes of the file.
        scale: scale of the step codes.
    """

    def octaves(step_code: int) -> float:
        count = max(significant(step_code), 1.0)
        bits = _SIGNIFICANT_BITS * (count / voxels / _USUAL_SHARE) ** _GROWTH
        return math.log2(count * bits / 8 / wanted)

    low, high = scale.lowest, scale.highest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if octaves(middle) < 0 else (low, middle)
    half = scale.octave // 2
    slope = octaves(low + half) - octaves(low - half)
    return Start(low, min(max(slope, _SLOPES[0]), _SLOPES[1]))


def estimate(size: Callable[[int], int], wanted: int, *, start: Start, octave: int) -> Start:
    """Estimate the first step from encodings of a part of the scan.

    Args:
        size: returns the bytes of an encoding at a step code.
        wanted: bytes of the encoding.
        start: first step of this estimate.
        octave: step codes that halve the step.
    """
    guess = start
    tried: list[tuple[int, float]] = []
    for _ in range(_ESTIMATES):
        tried.append((guess.step_code, math.log2(size(guess.step_code))))
        slope = slope_of(tried, octave, guess.slope)
        code, log_size = tried[-1]
        guess = Start(code + round((math.log2(wanted) - log_size) * octave / slope), slope)
    return guess


def start_near(
    point: Point, goal: float, *, slope: float, rate_weight: float, octave: int
) -> Start:
    """Extrapolate the first step from another encoding of about the wanted size.

    Args:
        point: quantiser and bytes of the other encoding.
        goal: bytes of the file.
        slope: octaves by which a file grows when the step is halved.
        rate_weight: λ that the search begins with.
        octave: step codes that halve the step.
    """
    missing = math.log2(goal / point.nbytes) + WEIGHT_SLOPE * (point.rate_weight - rate_weight)
    return Start(point.step_code + round(missing * octave / slope), slope)


def slope_of(tried: list[tuple[int, float]], octave: int, known: float) -> float:
    """Return the slope between the last two (step code, log2 size); ``known`` where they are close.

    Args:
        tried: step codes and log2 of the sizes, in the order of the search.
        octave: step codes that halve the step.
        known: slope so far, in octaves of size an octave of the step.
    """
    if len(tried) < 2 or abs(tried[-1][0] - tried[-2][0]) < octave / 64:
        return known
    (a, low), (b, high) = tried[-2:]
    return min(max((high - low) / (b - a) * octave, _SLOPES[0]), _SLOPES[1])
