"""Interrupts (Ctrl-C, SIGTERM, SIGHUP): the first one ends a command, after it has cleaned up.

SIGINT, SIGTERM, SIGHUP ─ first ─▶ KeyboardInterrupt ─▶ nothing left over, exit code 130
                        ├ second, within ten seconds ─▶ ignored
                        └ later ─▶ temporary files removed, immediate exit
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
# Time allowed for cleaning up: an encoder first finishes its current step.
_PATIENCE_SECONDS = 10.0


def end_on_signals() -> None:
    """Raise KeyboardInterrupt at the first signal that ends a program, and ignore others."""
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
        # Python removes handlers at its end; a signal would then change the exit code.
        atexit.unregister(_ignore)
        atexit.register(_ignore)


def _ignore() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave_at_once() -> None:
    temporary = sys.modules.get("deepstd.io.temporary")  # None: no temporary file was made
    if temporary is not None:
        temporary.remove_all()
    os._exit(INTERRUPTED)
