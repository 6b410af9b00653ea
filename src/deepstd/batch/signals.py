"""Signals such as Ctrl-C, deferred where they must not come between two steps.

with deferred(): write the output, then the ledger ─▶ a signal meanwhile arrives after the block
with kept_from_children(): start a process ─▶ Ctrl-C in a terminal does not reach it
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TERMINAL = tuple(getattr(signal, n) for n in ("SIGINT", "SIGHUP") if hasattr(signal, n))
_ENDINGS = (*_TERMINAL, signal.SIGTERM)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer signals that end a command to the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    # A signal mask would not do: the system would hand the signal to another thread, and Python
    # would still run the handler in this one.
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number in _ENDINGS:
        signal.signal(number, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in caught[:1]:
            signal.raise_signal(number)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Block the signals of a terminal for processes started within the block."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
