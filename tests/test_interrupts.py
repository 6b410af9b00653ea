"""The first Ctrl-C ends a command; another does not come between its cleaning up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepstd.interrupts import INTERRUPTED, end_on_signals
from deepstd.io import atomic_path

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers that were there come back."""
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGHUP)}
    end_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_only_the_first_interrupts(number: signal.Signals) -> None:
    steps: list[str] = []

    def interrupted() -> None:
        try:
            signal.raise_signal(number)
            steps.append("went on")
        finally:
            for again in SIGNALS:
                signal.raise_signal(again)
            steps.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["cleaned up"]


def test_one_that_comes_long_after_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def interrupted() -> None:
        with atomic_path(tmp_path / "a.nii"):
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                later = time.monotonic() + 60
                monkeypatch.setattr(time, "monotonic", lambda: later)
                signal.raise_signal(signal.SIGINT)
                assert list(tmp_path.iterdir()) == []

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert codes == [INTERRUPTED]
