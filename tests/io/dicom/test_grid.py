"""Frames that contradict each other are refused; dates and times sort what nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd import io
from deepstd.errors import InputError

Save = Callable[..., None]


@pytest.fixture
def save(make_slice: Callable[..., Any], tmp_path: Path) -> Save:
    """save(place, value, **attributes): a slice of one value, in a file named by their number."""

    def put(place: tuple[float, ...], value: int, **attributes: Any) -> None:
        number = len(list(tmp_path.iterdir()))
        dataset = make_slice(np.full((4, 6), value, np.int16), place, **attributes)
        dataset.save_as(tmp_path / f"{number:02d}", enforce_file_format=True)

    return put


def test_slices_side_by_side_are_refused(save: Save, tmp_path: Path) -> None:
    for k in range(3):
        for x in (0.0, 40.0):
            save((x, 0.0, 2.0 * k), k)
    with pytest.raises(InputError, match=r"lie 40 mm apart in their plane.*of several stacks"):
        io.read(tmp_path)


def test_places_with_other_temporal_positions_are_refused(save: Save, tmp_path: Path) -> None:
    for k, phases in enumerate([(1, 2, 3), (1, 2, 3), (1, 1, 3)]):
        for n, phase in enumerate(phases):
            save((0, 0, 2.0 * k), k, TemporalPositionIdentifier=phase, InstanceNumber=9 * n + k)
    with pytest.raises(InputError, match=r"other temporal positions at \(0.00, 0.00, 4.00\) mm"):
        io.read(tmp_path)


def test_temporal_positions_at_other_places_are_refused(save: Save, tmp_path: Path) -> None:
    for t in range(2):
        for k in range(4):
            save((0, 0, 2.0 * k + 0.7 * t), k, TemporalPositionIdentifier=t + 1)
    with pytest.raises(InputError, match="2 temporal positions do not lie at the same places"):
        io.read(tmp_path)


def test_numbers_that_count_slices_are_no_temporal_positions(save: Save, tmp_path: Path) -> None:
    for k, height in enumerate((0, 2, 4, 8, 10)):
        save((0, 0, height), k, TemporalPositionIdentifier=k + 1)
    assert io.read(tmp_path).shape == (6, 4, 5)


@pytest.mark.parametrize(
    ("keyword", "values", "order"),
    [
        ("AcquisitionTime", ["101500", "093000.25", "093000.5"], [1, 2, 0]),
        ("AcquisitionTime", ["1015", "093000", "10"], [1, 2, 0]),
        ("AcquisitionDateTime", ["20250102000000", "20241231235959.5", "20250101"], [1, 2, 0]),
    ],
)
def test_times_sort_phases(
    save: Save, tmp_path: Path, keyword: str, values: list[str], order: list[int]
) -> None:
    for t, value in enumerate(values):
        for k in range(2):
            save((0, 0, 2.0 * k), t, **{keyword: value})
    np.testing.assert_array_equal(io.read(tmp_path).voxels[0, 0], [order, order])
