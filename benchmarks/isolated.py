"""Run a function in a new process, and measure its peak memory.

function, arguments ─ spawn ─▶ result, peak resident bytes of the new process alone
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def isolated(function: Callable[..., Any], *arguments: object) -> tuple[Any, int]:
    """Run a picklable function in a new process.

    Returns:
        The result, and the peak resident memory of the process in bytes.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, function, arguments).result()


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux ru_maxrss includes the size of the parent process.
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _measured(function: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[Any, int]:
    result = function(*arguments)
    return result, peak_memory()
