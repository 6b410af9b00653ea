"""What the tests of batches share."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deepstd.batch.plan import Case
from deepstd.batch.work import Worker
from deepstd.io import ScanSource


@pytest.fixture
def cases(tmp_path: Path) -> Callable[[Sequence[str]], list[Case]]:
    """cases(names): cases of files that are there."""

    def make(names: Sequence[str]) -> list[Case]:
        made = []
        for name in names:
            path = tmp_path / f"{name}.npy"
            path.write_bytes(b"scan")
            made.append(Case(ScanSource((path,), None, name, 4), tmp_path, "state"))
        return made

    return make


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """scripted(start=None): a `workers.Scripted`, which processes and actors can import."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    kind = importlib.import_module("workers").Scripted
    return lambda start=None: kind(tmp_path, start)
