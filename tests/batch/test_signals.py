"""Signals that wait for the end of a block."""

from __future__ import annotations

import signal
import threading

import pytest

from deepstd.batch.signals import deferred


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    steps = []
    before = signal.getsignal(signal.SIGINT)

    def interrupted() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("went on")
        steps.append("too far")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["went on"]
    assert signal.getsignal(signal.SIGINT) is before


def test_without_a_signal_nothing_happens() -> None:
    with deferred():
        pass


def test_in_another_thread_it_does_nothing() -> None:
    entered = threading.Event()

    def enter() -> None:
        with deferred():
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered.is_set()
