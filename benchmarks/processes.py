"""Measurement of commands in separate processes: CPU and wall time, exit code, messages.

arguments, environment ─ start ─ wait4 ─▶ Measured
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SPIN = "while True: pass"


@dataclass(frozen=True)
class Measured:
    """One run of a command.

    Attributes:
        cpu_s: CPU seconds of the process and its children.
        wall_s: seconds from start to end.
        code: exit code.
        message: text written to stderr.
        peak_gib: peak memory of the process in GiB, at least that of the measuring process; None
            where not measured.
    """

    cpu_s: float
    wall_s: float
    code: int
    message: str
    peak_gib: float | None = None


def measured(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Measured:
    """Run a command in a folder, and measure it.

    Args:
        arguments: command line.
        folder: working directory.
        environment: variables added to the environment, or None.
    """
    with tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        message = stderr.read().decode(errors="replace")
    # Linux gives KiB.
    peak = used.ru_maxrss / 2**20
    return Measured(used.ru_utime + used.ru_stime, wall, process.returncode, message, peak)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run ``count`` processes that compute without end during the block."""
    processes = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
