"""Number of threads of a computation, and the wait policy of OpenMP threads.

    cores of this process, OMP_NUM_THREADS ─▶ thread_count ─ limit_to ─▶ share of a worker thread
    command, batch worker or Ray actor begins ─ wait_passively ─▶ torch is imported

Spinning threads take time from computing threads as soon as other programs use the cores. Every
loop then takes many times longer. OpenMP reads its settings once, when torch is loaded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# The OpenMP libraries of GNU (in PyTorch's packages), LLVM and Intel read this variable.
_POLICY, _PASSIVE = "OMP_WAIT_POLICY", "PASSIVE"
# GNU's library alone reads this one, and prefers it. Threads that sleep at once wake late: on an
# idle machine of two cores, commands took 10 to 25 % longer. With this number they take as long as
# with spinning threads, and beside busy programs a sixth more CPU time than alone.
_SPINS, _FEW = "GOMP_SPINCOUNT", "4000"


def wait_passively() -> None:
    """Set OpenMP threads to sleep soon while waiting, unless the user has chosen a policy.

    This holds for this process, if torch is not imported yet, and for the processes it starts.
    """
    if _POLICY not in os.environ:
        os.environ.setdefault(_SPINS, _FEW)
        os.environ[_POLICY] = _PASSIVE


_own = threading.local()
_allowed: int | None = None


def thread_count() -> int:
    """Return the threads that a computation of the calling thread may use, at least 1.

    These are all cores of the process, or OMP_NUM_THREADS, or what `limit_process`
    and `limit_to` set.
    """
    count: int | None = getattr(_own, "count", None)
    return count or _most()


def limit_process(count: int) -> None:
    """Set the threads that computations of any thread of this process may use."""
    global _allowed  # one number for the process, as OMP_NUM_THREADS is
    _allowed = max(1, count)


def limit_to(count: int) -> None:
    """Set the threads that computations of the calling thread may use."""
    _own.count = max(1, count)


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Set the threads of computations of the calling thread within a block."""
    before: int | None = getattr(_own, "count", None)
    limit_to(count)
    try:
        yield
    finally:
        _own.count = before


def _most() -> int:
    if _allowed is not None:
        return _allowed
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdigit() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
