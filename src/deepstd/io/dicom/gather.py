"""Frames at one place, told by their heights along the normal.

    heights ─ sorted, cut at gaps ─▶ places k ─ at each place by moment ─▶ (k, t)

Headers round positions, so the phases of a dynamic series may lie some micrometres apart. Gaps
within a place are therefore told from gaps between places by their ratio, not by a fixed length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from deepstd.io.dicom.moments import ORDINALS

# Positions that differ by less are the same, as long as that is far less than a slice.
_SAME_PLACE_MM = 1e-3
_NOISE_MM = 1e-6
_LEAST_RATIO = 10.0
# Extent of a place over the distance to the next, and in mm, where nothing but the order in which
# frames were taken tells them apart: no scanner takes slices so close to each other.
_MOST_EXTENT = 0.05
_MOST_EXTENT_MM = 0.1

Moments = Sequence[tuple[float, ...]]
Places = list[list[int]]


def gathered(heights: np.ndarray, moments: Moments, thickness: float | None) -> Places:
    """Return the numbers of the frames at each place, from low to high, there by their moments.

    Args:
        heights: (N,) mm along the normal.
        moments: of each frame, see `moment_of`.
        thickness: of a slice in mm, where it is known.
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
    """Return by how many mm the heights of frames at one place differ at most."""
    return max(float(np.ptp(heights[place])) for place in places)


def phases_of(moments: Moments) -> int:
    """Return how many temporal positions the headers of some frames tell apart, at least 1."""
    return max(len({moment[n] for moment in moments} - {-math.inf}) for n in range(ORDINALS)) or 1


def mixed_phases(places: Places, moments: Moments) -> int | None:
    """Return the number of a place that has other temporal positions than the first, if any.

    Numbers that go on from place to place, so that no two places share one, are left alone.
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
    """Return lengths from which on gaps may lie between places: where lengths jump, largest first.

    The largest jump may be that to a missing part: whether a cut makes sense is asked of each. The
    first is infinite, as there may be one place only.
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
    """Return whether values that are the same at each place tell the frames there apart.

    *Instance Number*, which is unique, says nothing of this.
    """
    counts = {len(place) for place in places}
    if len(counts) > 1 or counts == {1}:
        return False
    values = np.asarray(moments)[np.asarray(places)][..., :-1]
    is_same = (np.sort(values, axis=1) == np.sort(values[:1], axis=1)).all(axis=(0, 1))
    told = values[..., is_same]
    return all(len({tuple(row) for row in place}) == len(place) for place in told)
