"""Freed memory is kept where the C library can do that, and nothing happens elsewhere."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from deepstd.memory import keep_freed_memory

_FAULTS = """
import resource
import sys
import numpy as np
from deepstd.memory import keep_freed_memory
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
