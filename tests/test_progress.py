"""Progress of a job: its sentences, and the seconds of its parts."""

from __future__ import annotations

import pytest

from deepstd import progress as module
from deepstd.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes only when a test adds to it."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_sentences_are_shown_where_someone_listens() -> None:
    shown: list[str] = []
    Progress(shown.append)("reading")
    Progress()("to nobody")
    assert shown == ["reading"]


def test_seconds_of_a_part_leave_out_the_parts_within(clock: list[float]) -> None:
    progress = Progress()
    with progress.timed("whole"):
        clock[0] += 1
        for _ in range(2):
            with progress.timed("inner"):
                clock[0] += 2
                with progress.timed("innermost"):
                    clock[0] += 4
        clock[0] += 8
    assert progress.seconds == {"whole": 9, "inner": 4, "innermost": 8}


def test_seconds_count_where_a_part_fails(clock: list[float]) -> None:
    progress = Progress()

    def fail() -> None:
        with progress.timed("part"):
            clock[0] += 3
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert progress.seconds == {"part": 3}
