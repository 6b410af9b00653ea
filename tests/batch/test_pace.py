"""The time left: only compressed scans count, each kind of file by its own speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepstd.batch.case import Case
from deepstd.batch.pace import Pace, in_time
from deepstd.io import ScanSource


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def case(name: str, nbytes: int) -> Case:
    return Case(ScanSource((Path(name),), None, name, nbytes), Path(), "")


SMALL = [case(f"small{n}.npy", 100) for n in range(4)]
LARGE = case("large.npy", 1000)
PACKED = [case(f"packed{n}.nii.gz", 100) for n in range(2)]


def done(pace: Pace, one: Case, seconds: float | None) -> None:
    pace.begin(one)
    pace.end(one, seconds)


def test_nothing_is_said_before_a_scan_was_compressed() -> None:
    pace = Pace([*SMALL, LARGE], [])
    assert pace.seconds_left() is None
    done(pace, SMALL[0], None)  # it failed
    assert pace.seconds_left() is None
    done(pace, SMALL[1], 3.0)
    assert pace.seconds_left() == pytest.approx(3 * 2 + 30)


def test_a_broken_scan_says_nothing_of_the_others() -> None:
    pace = Pace([*SMALL, LARGE], [])
    done(pace, SMALL[0], 3.0)
    done(pace, LARGE, None)
    assert pace.seconds_left() == pytest.approx(9)


def test_a_scan_costs_something_and_each_of_its_bytes() -> None:
    pace = Pace([*SMALL, LARGE, case("larger.npy", 2000)], [])
    done(pace, SMALL[0], 2.0)
    done(pace, LARGE, 11.0)
    assert pace.seconds_left() == pytest.approx(3 * 2 + 21)


def test_kinds_of_files_have_speeds_of_their_own() -> None:
    pace = Pace([*SMALL, *PACKED], [])
    done(pace, SMALL[0], 1.0)
    done(pace, PACKED[0], 5.0)
    assert pace.seconds_left() == pytest.approx(3 * 1 + 5)


def test_processes_share_what_is_left_but_not_one_scan() -> None:
    clock = Clock()
    pace = Pace([*SMALL, LARGE], [], clock)
    pace.begin(SMALL[0])
    pace.begin(SMALL[1])
    pace.end(SMALL[0], 4.0)
    clock.seconds = 1.0
    # 3 s of the one under way, 4 s each of two, 40 s of the large one: that is the longest.
    assert pace.seconds_left() == pytest.approx(40)
    pace.begin(LARGE)
    pace.end(LARGE, 40.0)
    assert pace.seconds_left() == pytest.approx((3 + 4 + 4) / 2)


def test_a_scan_that_takes_longer_than_expected_is_not_said_to_be_over() -> None:
    clock = Clock()
    pace = Pace(SMALL[:2], [], clock)
    done(pace, SMALL[0], 10.0)
    pace.begin(SMALL[1])
    clock.seconds = 1000.0
    assert pace.seconds_left() == pytest.approx(1.0)
    pace.end(SMALL[1], 1000.0)
    assert pace.seconds_left() == 0


def test_earlier_runs_tell_how_fast_it_is() -> None:
    rows = [{"name": "a", "seconds": 2.0, "source_bytes": 100}]
    pace = Pace(SMALL, rows)
    assert pace.seconds_left() == pytest.approx(8)
    odd = [{"name": "a", "seconds": "2", "source_bytes": 100}, {"name": "b", "seconds": 1.0}]
    assert Pace(SMALL, odd).seconds_left() is None


def test_what_is_under_way() -> None:
    pace = Pace(SMALL[:2], [])
    assert pace.has_more
    for one in SMALL[:2]:
        pace.begin(one)
    assert [one.name for one in pace.under_way] == ["small0.npy", "small1.npy"]
    assert not pace.has_more
    pace.end(SMALL[0], 1.0)
    assert [one.name for one in pace.under_way] == ["small1.npy"]


def test_a_scan_that_is_begun_again_counts_once() -> None:
    pace = Pace(SMALL[:1], [])
    pace.begin(SMALL[0])
    pace.begin(SMALL[0])
    pace.end(SMALL[0], 2.0)
    assert (pace.under_way, pace.seconds_left()) == ([], 0)


def test_times_in_words() -> None:
    assert [in_time(s) for s in (3.2, 89, 600, 9000)] == ["3 s", "89 s", "10 min", "2.5 h"]
