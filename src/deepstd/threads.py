"""OpenMP's threads: asleep while they wait for each other, so that other programs get the cores.

    command, batch worker or Ray actor begins ─ wait_passively ─▶ torch is imported

Threads that wait actively take the time of those that still compute as soon as other programs
use the cores, and every loop then takes many times longer. OpenMP reads its settings once, when
torch is loaded.
"""

from __future__ import annotations

import os

# GNU's OpenMP, which PyTorch's packages bring along, reads it, and so do LLVM's and Intel's.
# GOMP_SPINCOUNT and KMP_BLOCKTIME, where a user sets them, go before it there.
_POLICY, _PASSIVE = "OMP_WAIT_POLICY", "PASSIVE"


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user has chosen a policy.

    Works in this process before torch is imported, and in all that it starts.
    """
    os.environ.setdefault(_POLICY, _PASSIVE)
