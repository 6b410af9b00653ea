"""Sentences about distances of slices, and what is refused instead."""

from __future__ import annotations

import numpy as np
import pytest

from deepstd.errors import InputError
from deepstd.io.dicom.gaps import notes_on_gaps, notes_on_shifts, notes_on_tilt

UP = np.array([0.0, 0.0, 1.0])


def at(*heights: float) -> np.ndarray:
    return np.array([(0.0, 0.0, z) for z in heights])


def test_even_slices_need_no_word() -> None:
    assert notes_on_gaps(at(0, 2, 4.005, 6), UP, 2.0) == []


def test_a_few_missing_slices_are_told() -> None:
    (note,) = notes_on_gaps(at(0, 2, 4, 10, 12, 14), UP, 2.0)
    assert note.startswith("2 slices seem to be missing after (0.00, 0.00, 4.00) mm. Positions")


def test_uneven_slices_are_told() -> None:
    (note,) = notes_on_gaps(at(0, 2, 4, 7, 9), UP, 2.0)
    assert note.startswith("slices lie 2 to 3 mm apart; not 2 mm after (0.00, 0.00, 4.00) mm")


@pytest.mark.parametrize(
    "heights",
    [
        [0, 2, 4, 6, 100, 102, 104, 106],  # two stacks
        [0, 0.002, 0.004, 3, 3.002, 3.004, 6, 6.002, 6.004],  # three phases, not told from slices
    ],
)
def test_more_missing_slices_than_a_volume_with_gaps_lacks_are_refused(
    heights: list[float],
) -> None:
    with pytest.raises(InputError, match=r"would be missing after .* They are several stacks"):
        notes_on_gaps(at(*heights), UP, 2.0)


def test_a_pattern_of_slices_that_do_not_overlap_is_the_scanners() -> None:
    heights = [10 * n + d for n in range(5) for d in (0, 1)]
    (note,) = notes_on_gaps(at(*heights), UP, 1.0)
    assert note.startswith("slices lie 1 to 9 mm apart")
    with pytest.raises(InputError, match="would be missing"):
        notes_on_gaps(at(*heights), UP, 5.0)


def test_slices_off_a_straight_line_are_told() -> None:
    tilted = np.array([(0.0, 0.5 * k, 2.0 * k) for k in range(4)])
    assert notes_on_shifts(tilted, UP, 0.5) == []
    tilted[2, 0] += 3
    (note,) = notes_on_shifts(tilted, UP, 0.5)
    assert "shifted in their plane by up to 3 mm" in note


def test_tilt_is_told_in_degrees() -> None:
    assert notes_on_tilt(np.array([0.0, 0.001, 3.0]), UP) == []
    (note,) = notes_on_tilt(np.array([0.0, 1.0, 3.0]), UP)
    assert "tilted by 18.4 degrees" in note
