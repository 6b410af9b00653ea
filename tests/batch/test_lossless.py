"""Batches of lossless files: without torch, of no known size, and never larger than the scans."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_runs import quiet, rows_in

from deepstd.batch import run as batches
from deepstd.batch.case import Case, Request
from deepstd.batch.run import Job
from deepstd.batch.work import Compressor, Outcome
from deepstd.errors import InputError
from deepstd.rate.target import Target

LOSSLESS = Target(lossless=True)


@pytest.fixture
def job(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Four scans, compressed without loss in this process."""

    def outcomes(
        job: Job, worker: Compressor, cases: Sequence[Case], progress: object
    ) -> Iterator[tuple[Case, Outcome, int]]:
        assert worker.start(1) is None
        for case in cases:
            yield case, worker.run(case), 1

    monkeypatch.setattr(batches, "_executed", outcomes)
    return Job(scans, tmp_path / "out", LOSSLESS)


def test_the_ledger_and_the_totals(job: Job) -> None:
    summary = batches.run(job, quiet)
    assert (summary.done, summary.exit_code, summary.worst) == (4, 0, [])
    assert (summary.totals[-1].worst_psnr, summary.totals[-1].worst_ssim) == (None, 1)
    done = [row for row in rows_in(job.output) if row["status"] == "done"]
    assert {(row["max_error"], row["psnr"], row["bundle"]) for row in done} == {(0, None, "none 0")}
    assert all(row["request"]["lossless"] is True for row in done)
    again = batches.run(job, quiet)
    assert (again.before, again.done) == (4, 4)


def test_the_forecast_knows_no_size(job: Job) -> None:
    forecast = batches.forecast(job)
    assert forecast.file_bytes is None
    assert {scan.file_bytes for scan in forecast.scans} == {None}
    assert forecast.stored_bytes == 4 * 2 * 8**3
    assert not forecast.refused


def test_no_file_is_larger_than_its_scan(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstd.codec.exact.pack_notes", lambda notes, room: b"\0" + b"a" * 2000)
    summary = batches.run(job, quiet)
    assert summary.exit_code == 1
    assert all("more than the" in why for why in summary.failures.values())
    assert not list(job.output.rglob("*.dstd"))


def test_a_bundle_or_an_effort_is_refused(job: Job) -> None:
    settings: list[dict[str, Any]] = [{"model": "generic"}, {"effort": "best"}]
    for more in settings:
        with pytest.raises(InputError, match="lossless"):
            batches.run(Job(job.source, job.output, LOSSLESS, **more), quiet)
    assert not job.output.exists()


def test_other_requests_are_told_as_before() -> None:
    assert "lossless" not in Request(Target(ratio=4), "auto").described
    assert Request(LOSSLESS, "auto").described["lossless"] is True


def test_processes_do_without_torch(scans: Path, tmp_path: Path) -> None:
    np.save(scans / "flat.npy", np.zeros((9, 9), np.uint8))
    (tmp_path / "torch.py").write_text("raise ImportError('no torch')\n")
    command = (sys.executable, "-m", "deepstd", "batch", scans, tmp_path / "out", "--lossless")
    search = f"{tmp_path}:" + ":".join(path for path in sys.path if path)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": search}
    )
    assert done.returncode == 0, done.stderr
    assert "5 of 5 scans done" in done.stdout
