"""Wait policy of OpenMP threads: sleep soon while waiting, so that other programs get the cores.

    command, batch worker or Ray actor begins ─ wait_passively ─▶ torch is imported

Spinning threads take time from computing threads as soon as other programs use the cores. Every
loop then takes many times longer. OpenMP reads its settings once, when torch is loaded.
"""

from __future__ import annotations

import os

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
