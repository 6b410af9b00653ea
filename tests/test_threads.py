"""OpenMP's threads wait asleep in commands and batch workers, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from deepstd.batch.case import Request
from deepstd.batch.work import Compressor
from deepstd.cli.app import main
from deepstd.rate.target import Target
from deepstd.threads import thread_count
from deepstd.train.__main__ import main as train

POLICY, SPINS = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"


def _command() -> None:
    assert main(["--version"]) == 0


def _training() -> None:
    with pytest.raises(SystemExit):
        train(["--help"])


def _worker() -> None:
    told = Compressor(Request(Target(ratio=16), "auto"), "auto", "abacus").start(thread_count())
    assert "abacus" in str(told)


@pytest.mark.parametrize("begin", [_command, _training, _worker])
def test_the_policy_of_the_user_stays(
    begin: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POLICY, "ACTIVE")
    monkeypatch.delenv(SPINS, raising=False)
    begin()
    assert os.environ[POLICY] == "ACTIVE"
    assert SPINS not in os.environ
    monkeypatch.delenv(POLICY)
    begin()
    assert os.environ[POLICY] == "PASSIVE"
    assert os.environ[SPINS] == "4000"
    monkeypatch.delenv(POLICY)
    monkeypatch.setenv(SPINS, "0")
    begin()
    assert os.environ[SPINS] == "0"


def test_torch_is_loaded_with_the_policy() -> None:
    code = "from deepstd.cli.app import main; main(['--version']); import torch"
    told = {name: value for name, value in os.environ.items() if name not in (POLICY, SPINS)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**told, "OMP_DISPLAY_ENV": "true"},
    )
    if "OPENMP DISPLAY ENVIRONMENT" not in done.stderr:
        pytest.skip("this PyTorch has no OpenMP that tells its settings")
    assert f"{POLICY} = 'PASSIVE'" in done.stderr
