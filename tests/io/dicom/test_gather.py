"""Which frames lie at one place, told by rounded heights and by moments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepstd.io.dicom.gather import extent_of, gathered, mixed_phases, phases_of

ABSENT = -math.inf


def moment(
    temporal: float = ABSENT, echo: float = ABSENT, instance: float = 0
) -> tuple[float, ...]:
    """A moment of two ordinals, an echo time and an instance number."""
    return (temporal, ABSENT, echo, instance)


@pytest.mark.parametrize(
    ("told", "rounding"),
    [
        *(("nothing", rounding) for rounding in (0.0, 1e-5, 5e-4, 2e-3, 1e-2)),
        *((told, rounding) for told in ("temporal", "echo") for rounding in (0.0, 1e-2, 3e-2)),
    ],
)
@pytest.mark.parametrize("distance", [0.8, 3.0])
def test_phases_a_rounding_apart_lie_at_one_place(
    told: str, rounding: float, distance: float
) -> None:
    numbers = [(k, t) for t in range(3) for k in range(6)]
    heights = np.array([k * distance + t * rounding for k, t in numbers])
    moments = [
        moment(
            t + 1 if told == "temporal" else ABSENT,
            30 * t if told == "echo" else ABSENT,
            instance=6 * t + k,
        )
        for k, t in numbers
    ]
    shuffled = np.random.default_rng(0).permutation(len(numbers))
    places = gathered(heights[shuffled], [moments[n] for n in shuffled], 3.0)
    found = [[numbers[shuffled[n]] for n in place] for place in places]
    assert found == [[(k, t) for t in range(3)] for k in range(6)]
    assert extent_of(places, heights[shuffled]) == pytest.approx(2 * rounding)


@pytest.mark.parametrize(
    ("heights", "thickness"),
    [
        ([0, 3, 6, 9], 3),  # even
        ([0, 1, 10, 11, 20, 21], 1),  # pairs of thin slices
        ([0, 3, 6, 90, 93, 96], None),  # a part is missing
        ([0, 0.5, 1, 8, 8.5, 9], 5),  # three and three
        ([0, 2e-4, 4e-4, 6e-4], 2e-4),  # micrographs
    ],
)
def test_slices_of_one_volume_stay_apart(heights: list[float], thickness: float | None) -> None:
    moments = [moment(instance=n) for n in range(len(heights))]
    expected = [[n] for n in range(len(heights))]
    assert gathered(np.array(heights, np.float64), moments, thickness) == expected


def test_phases_that_lie_far_apart_are_not_at_one_place() -> None:
    heights = np.array([3.0 * k + 0.15 * t for k in range(4) for t in range(6)])
    moments = [moment(t + 1) for _ in range(4) for t in range(6)]
    assert gathered(heights, moments, 3.0) == [[n] for n in range(24)]


@pytest.mark.parametrize("rounding", [0.0, 5e-4, 4e-3, 2e-2])
def test_phases_of_a_single_slice_lie_at_one_place(rounding: float) -> None:
    heights = rounding * np.array([0.0, 2.0, 1.0])
    moments = [moment(instance=n) for n in range(3)]
    assert gathered(heights, moments, 4.0) == [[0, 1, 2]]


def test_exactly_repeated_places_need_no_moment_but_their_number() -> None:
    heights = np.array([0.0, 2.0, 0.0, 2.0])
    moments = [moment(instance=n) for n in (4, 3, 2, 1)]
    assert gathered(heights, moments, None) == [[2, 0], [3, 1]]


def test_places_with_other_phases_are_found() -> None:
    moments = [moment(t) for t in (1, 2, 1, 2, 2, 2)]
    assert mixed_phases([[0, 1], [2, 3]], moments) is None
    assert mixed_phases([[0, 1], [2, 3], [4, 5]], moments) == 2
    counted_on = [moment(t) for t in (1, 2, 3, 4)]
    assert mixed_phases([[0, 1], [2, 3]], counted_on) is None
    overlapping = [moment(t) for t in (1, 2, 2, 3)]
    assert mixed_phases([[0, 1], [2, 3]], overlapping) == 1


def test_temporal_positions_are_counted() -> None:
    assert phases_of([moment(), moment()]) == 1
    assert phases_of([moment(1), moment(3), moment(3)]) == 2
