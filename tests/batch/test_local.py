"""Processes of this machine: whatever happens to them, every case has one outcome."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

import deepstd
from deepstd.batch import local
from deepstd.batch.case import Case
from deepstd.batch.work import Worker
from deepstd.errors import DeepSTDError

Cases = Callable[[Sequence[str]], list[Case]]
Scripted = Callable[..., Worker]


def test_every_case_once(tmp_path: Path, cases: Cases, scripted: Scripted) -> None:
    names = [f"case{n}" for n in range(7)]
    found = list(local.outcomes(cases(names), scripted(), 2))
    assert sorted(case.name for case, _, _ in found) == names
    assert all(outcome.data == case.name.encode() for case, outcome, _ in found)
    assert (tmp_path / "runs").read_text().count("\n") == 7


def test_every_case_is_told_as_it_begins(cases: Cases, scripted: Scripted) -> None:
    told: list[str] = []
    seen = []
    for case, _, _ in local.outcomes(
        cases(["a", "die-once", "b"]), scripted(), 1, lambda case: told.append(case.name)
    ):
        assert case.name in told
        seen.append(case.name)
    assert Counter(told) == {"a": 1, "b": 1, "die-once": 2}
    assert sorted(seen) == ["a", "b", "die-once"]


def test_a_case_that_kills_its_process_is_given_up(
    tmp_path: Path, cases: Cases, scripted: Scripted
) -> None:
    names = ["a", "die", "die-once", "b", "c"]
    found = {
        case.name: (outcome, tries)
        for case, outcome, tries in local.outcomes(cases(names), scripted(), 2)
    }
    assert sorted(found) == sorted(names)
    error, tries = found["die"][0].error, found["die"][1]
    assert error is not None
    assert "died 2 times" in error
    assert "memory" in error
    assert tries == 2
    assert (found["die-once"][0].data, found["die-once"][1]) == (b"die-once", 2)
    runs = Counter((tmp_path / "runs").read_text().split())
    assert runs == {"a": 1, "b": 1, "c": 1, "die": 2, "die-once": 2}


def test_processes_that_cannot_begin(tmp_path: Path, cases: Cases, scripted: Scripted) -> None:
    with pytest.raises(DeepSTDError, match="no abacus here"):
        list(local.outcomes(cases(["a"]), scripted("no abacus here"), 1))
    with pytest.raises(DeepSTDError, match="before they can begin"):
        list(local.outcomes(cases(["a"]), scripted("die"), 1))


def test_ended_early_nothing_goes_on(tmp_path: Path, cases: Cases, scripted: Scripted) -> None:
    began = time.monotonic()
    with closing(local.outcomes(cases(["slow1", "a", "slow2"]), scripted(), 2)) as found:
        assert next(found)[0].name == "a"
    assert time.monotonic() - began < 60


def test_nothing_to_do(scripted: Scripted) -> None:
    assert list(local.outcomes([], scripted(), 4)) == []


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    (tmp_path / "slow.npy").write_bytes(b"scan")
    code = (
        "import sys; from pathlib import Path; from workers import Scripted; "
        "from deepstd.batch import local; from deepstd.batch.case import Case; "
        "from deepstd.io import ScanSource; folder = Path(sys.argv[1]); "
        "scan = ScanSource((folder / 'slow.npy',), None, 'slow', 4); "
        "list(local.outcomes([Case(scan, folder, '')], Scripted(folder), 1))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(deepstd.__file__).parents[1])])
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    while not (tmp_path / "runs").exists():
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    # Its end of the pipe is closed when the process that sleeps for a minute is gone too.
    parent.communicate(timeout=30)
