"""Run one function in a fresh process and learn its peak memory.

function, arguments ─ spawn ─▶ result, peak resident bytes of that process alone
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
    """Result of a picklable function and the peak resident memory of its process in bytes."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, function, arguments).result()


def peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # ru_maxrss would begin with the size of the process that started this one.
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _measured(function: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[Any, int]:
    result = function(*arguments)
    return result, peak_memory()
