"""Groups of frames at one position, by their heights along the normal.

    heights ─ sorted, cut at gaps ─▶ positions k ─ at each position by time ─▶ (k, t)

Headers round positions, so the phases of a dynamic series may lie some micrometres apart. Gaps
within a position and between positions are therefore separated by their ratio, not by a length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from deepstd.io.dicom.moments import ORDINALS

# Difference up to which positions are the same, as long as it is far less than a slice.
_SAME_PLACE_MM = 1e-3
_NOISE_MM = 1e-6  # smallest gap, against divisions by zero
_LEAST_RATIO = 10.0  # of gaps between positions to gaps within one
# Largest extent of a position over the distance to the next, and in mm, where only the order of
# acquisition separates frames: no scanner takes slices so close to each other.
_MOST_EXTENT = 0.05
_MOST_EXTENT_MM = 0.1

Moments = Sequence[tuple[float, ...]]
Places = list[list[int]]


def gathered(heights: np.ndarray, moments: Moments, thickness: float | None) -> Places:
    """Return the indices of the frames at each position, from low to high, sorted there by time.

    Args:
        heights: (N,) mm along the normal.
        moments: values of each frame that sort frames at one position (`moment_of`).
        thickness: slice thickness in mm, or None.
    """
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    same = min(_SAME_PLACE_MM, (thickness or 1.0) / _LEAST_RATIO)
    places = _cut(order, gaps > same)
    if not _have_the_same_phases(places, moments):
        for least in _thresholds(gaps):
            candidate = _cut(order, gaps >= least)
            if _is_convincing(candidate, heights, moments, thickness):
                places = candidate
                break
    return [sorted(place, key=lambda n: moments[n]) for place in places]


def extent_of(places: Places, heights: np.ndarray) -> float:
    """Return the largest difference in mm between the heights of frames at one position."""
    return max(float(np.ptp(heights[place])) for place in places)


def phases_of(moments: Moments) -> int:
    """Return the number of temporal positions that the headers of frames state, at least 1."""
    return max(len({moment[n] for moment in moments} - {-math.inf}) for n in range(ORDINALS)) or 1


def mixed_phases(places: Places, moments: Moments) -> int | None:
    """Return the index of a position with other temporal positions than the first, or None.

    Numbers that go on from position to position, so that no two positions share one, are ignored.
    """
    for column in range(ORDINALS):
        told = [[moments[n][column] for n in place] for place in places]
        sets = [set(values) for values in told]
        is_counted_on = sum(map(len, told)) == len(set().union(*sets))
        odd = [k for k, values in enumerate(sets) if values != sets[0]]
        repeats = [k for k, values in enumerate(told) if len(sets[k]) != len(sets[0])]
        if odd and not is_counted_on and max(map(len, told)) > 1:
            return (repeats or odd)[0]
    return None


def _cut(order: np.ndarray, is_between: np.ndarray) -> Places:
    return [list(map(int, part)) for part in np.split(order, np.flatnonzero(is_between) + 1)]


def _thresholds(gaps: np.ndarray) -> list[float]:
    """Return lengths from which on gaps may lie between positions, largest first.

    Lengths jump there. The largest jump may lead to a gap of missing slices, so each cut is tested.
    The first length is infinite, since there may be only one position.
    """
    lengths = np.unique(np.maximum(gaps, _NOISE_MM))
    jumps = np.flatnonzero(lengths[1:] >= _LEAST_RATIO * lengths[:-1]) + 1
    return [np.inf, *(float(length) for length in lengths[jumps][::-1])]


def _is_convincing(
    places: Places, heights: np.ndarray, moments: Moments, thickness: float | None
) -> bool:
    ends = [(heights[place].min(), heights[place].max()) for place in places]
    gaps = [after[0] - before[1] for before, after in pairwise(ends)]
    between = min(gaps, default=thickness or 0.0)
    extent = extent_of(places, heights)
    if extent * _LEAST_RATIO > between:
        return False
    if extent <= min(_MOST_EXTENT * between, _MOST_EXTENT_MM):
        return True
    return _have_the_same_phases(places, moments)


def _have_the_same_phases(places: Places, moments: Moments) -> bool:
    """Return whether values that repeat at each position separate the frames there.

    *Instance Number*, which is unique, is ignored.
    """
    counts = {len(place) for place in places}
    if len(counts) > 1 or counts == {1}:
        return False
    values = np.asarray(moments)[np.asarray(places)][..., :-1]
    is_same = (np.sort(values, axis=1) == np.sort(values[:1], axis=1)).all(axis=(0, 1))
    told = values[..., is_same]
    return all(len({tuple(row) for row in place}) == len(place) for place in told)
