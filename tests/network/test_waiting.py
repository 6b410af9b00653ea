"""Series wait until they are quiet or complete."""

from __future__ import annotations

import pytest

from deepstd.network.waiting import Waiting


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_series_is_due_when_it_is_quiet(clock: Clock) -> None:
    waiting = Waiting(10, clock)
    waiting.note("a")
    clock.now = 9
    assert waiting.take(lambda key: 1) == []
    waiting.note("a")
    waiting.note("b")
    clock.now = 18
    assert waiting.take(lambda key: 1) == []
    clock.now = 19
    assert waiting.take(lambda key: 1) == ["a", "b"]
    assert len(waiting) == 0


def test_a_series_with_as_many_objects_as_it_states_is_due_at_the_release(clock: Clock) -> None:
    waiting = Waiting(10, clock)
    for _ in range(3):
        waiting.note("a", 3, association=1)
    assert waiting.take(lambda key: 3) == []  # more may come in this association
    waiting.release(1, is_regular=True)
    waiting.release(1, is_regular=False)  # the connection closes after each release
    assert waiting.take(lambda key: 2) == []
    assert waiting.take(lambda key: 3) == ["a"]


@pytest.mark.parametrize("stated", [(3, 3, 4), (3, 3, None), (None, None, None)])
def test_objects_that_disagree_say_nothing(clock: Clock, stated: tuple[int | None, ...]) -> None:
    waiting = Waiting(10, clock)
    for images in stated:
        waiting.note("a", images, association=1)
    waiting.release(1, is_regular=True)
    assert waiting.take(lambda key: 3) == []


def test_an_association_that_broke_off_completes_nothing(clock: Clock) -> None:
    waiting = Waiting(10, clock)
    waiting.note("a", 1, association=1)
    waiting.release(1, is_regular=False)
    assert waiting.take(lambda key: 1) == []
    clock.now = 10
    assert waiting.take(lambda key: 1) == ["a"]
