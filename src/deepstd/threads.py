"""Wait policy of OpenMP threads: sleep while waiting, so that other programs get the cores.

    command, batch worker or Ray actor begins ─ wait_passively ─▶ torch is imported

Spinning threads take time from computing threads as soon as other programs use the cores. Every
loop then takes many times longer. OpenMP reads its settings once, when torch is loaded.
"""

from __future__ import annotations

import os

# The OpenMP libraries of GNU (in PyTorch's packages), LLVM and Intel read this variable. A user's
# GOMP_SPINCOUNT or KMP_BLOCKTIME has precedence.
_POLICY, _PASSIVE = "OMP_WAIT_POLICY", "PASSIVE"


def wait_passively() -> None:
    """Set OpenMP threads to sleep while waiting, unless the user has chosen a policy.

    This holds for this process, if torch is not imported yet, and for the processes it starts.
    """
    os.environ.setdefault(_POLICY, _PASSIVE)
