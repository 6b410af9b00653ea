"""A long command says now and then that it is alive, on stderr, and never on stdout."""

from __future__ import annotations

import time

import pytest

from deepstd.cli import console
from deepstd.cli.console import Progress


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(console, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(console, "_HEARTBEAT_SECONDS", 0.2)


@pytest.mark.usefixtures("quick")
def test_a_line_when_something_changes_and_a_heartbeat(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("first") as progress:
        time.sleep(0.1)
        progress("second")
        time.sleep(0.6)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("first") == 1
    assert told.err.count("second") >= 2


@pytest.mark.usefixtures("quick")
def test_many_changes_are_not_many_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("start") as progress:
        for number in range(1000):
            progress(f"step {number}")
    assert capsys.readouterr().err.count("\n") < 20


def test_the_last_word_of_a_bar_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("start", bar=True) as progress:
        progress("done with the last", 1.0)
    assert "100 %] done with the last" in capsys.readouterr().err


def test_a_quick_command_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("start") as progress:
        progress("nearly done")
    assert capsys.readouterr().err == ""


def test_a_live_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("start", bar=True) as progress:
        progress("a message [kept as it is]", 0.5)
    told = capsys.readouterr()
    assert told.out == ""
    assert "a message [kept as it is]" in told.err
