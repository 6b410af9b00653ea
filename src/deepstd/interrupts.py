"""Ctrl-C and its like: the first ends a command, others do not disturb its cleaning up.

SIGINT, SIGTERM, SIGHUP ─ the first ─▶ KeyboardInterrupt ─▶ nothing is left over, exit code 130
                        ├ another within ten seconds ─▶ ignored
                        └ a later one ─▶ temporary files removed, the end at once
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from contextlib import suppress

INTERRUPTED = 130
_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))
# Time that cleaning up may take: encoders end after what they are in the middle of.
_PATIENCE_SECONDS = 10.0


def end_on_signals() -> None:
    """Let the signals that end a program raise KeyboardInterrupt, but only once."""
    first: float | None = None

    def end(number: int, frame: object) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None:
            first = now
            raise KeyboardInterrupt
        if now - first > _PATIENCE_SECONDS:
            _leave_at_once()

    with suppress(ValueError):  # not the main thread: nobody sends signals there
        for number in _SIGNALS:
            signal.signal(number, end)
        # When Python itself ends it takes handlers away, and a signal would change the exit code.
        atexit.unregister(_ignore)
        atexit.register(_ignore)


def _ignore() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave_at_once() -> None:
    temporary = sys.modules.get("deepstd.io.temporary")  # not loaded, it has made nothing
    if temporary is not None:
        temporary.remove_all()
    os._exit(INTERRUPTED)
