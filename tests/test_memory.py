"""Freed memory is kept where the C library can do that, and nothing happens elsewhere."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepstd.memory import free_memory, keep_freed_memory

_FAULTS = """
import resource
import sys
import numpy as np
from deepstd.memory import free_memory, keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    """Pages that the system handed to a process which allocates and frees 64 MB again and again."""
    command = [sys.executable, "-c", _FAULTS, mode]
    # Huge pages are there or not, as the machine's memory happens to be.
    pages = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=pages)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_the_system_clears_less_memory() -> None:
    assert faults("keep") < 0.5 * faults("usual")


@pytest.mark.parametrize("library", [SimpleNamespace(), None])
def test_nothing_happens_without_such_a_library(
    monkeypatch: pytest.MonkeyPatch, library: object
) -> None:
    def load(name: object) -> object:
        if library is None:
            raise OSError("no such library")
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    keep_freed_memory()


_MEMINFO = "MemTotal: 9 kB\nMemAvailable: 4000 kB\nSwapFree: 1000 kB\nHugePages_Total: 0\n"


def system(root: Path, files: dict[str, str]) -> int | None:
    """What is free on a system with such files."""
    for name, text in {"proc/meminfo": _MEMINFO, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return free_memory(root)


def test_free_memory_counts_swap_and_what_only_caches_files(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None
    assert system(tmp_path, {}) == 5000 * 1024


@pytest.mark.parametrize("swap", ["max", "0"])
def test_a_container_may_have_less(tmp_path: Path, swap: str) -> None:
    group = "sys/fs/cgroup/job/step"
    files = {
        "proc/self/cgroup": "0::/job/step\n",
        f"{group}/memory.max": "max\n",
        f"{group}/memory.current": "900\n",
        f"{group}/memory.stat": "anon 5\ninactive_file 0\n",
        "sys/fs/cgroup/job/memory.max": "3000\n",
        "sys/fs/cgroup/job/memory.current": "1000\n",
        "sys/fs/cgroup/job/memory.stat": "anon 5\ninactive_file 200\n",
        "sys/fs/cgroup/job/memory.swap.max": swap,
        "sys/fs/cgroup/job/memory.swap.current": "0\n",
    }
    found = system(tmp_path, files)
    assert found == (2200 if swap == "0" else 2200 + 1000 * 1024)


def test_a_control_group_of_the_first_version(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory"  # as a container sees it, whose path is that of the machine
    files = {
        "proc/self/cgroup": "5:cpu:/docker/1\n4:memory:/docker/1\n",
        "proc/meminfo": _MEMINFO.replace("1000 kB", "0 kB"),
        f"{group}/memory.limit_in_bytes": "3000\n",
        f"{group}/memory.usage_in_bytes": "1000\n",
        f"{group}/memory.stat": "cache 7\ntotal_inactive_file 300\n",
    }
    assert system(tmp_path, files) == 2300
