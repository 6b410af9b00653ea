"""Batches that protect regions: said in ledger and report, and part of the request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_runs import quiet, rows_in

from deepstd.batch import run as batches
from deepstd.batch.case import Case, Request
from deepstd.batch.report import protected
from deepstd.batch.run import Job
from deepstd.batch.work import Compressor, Outcome
from deepstd.cli import batch_words
from deepstd.errors import InputError
from deepstd.rate.goal import QualityGoal
from deepstd.rate.target import Target

pytest.importorskip("scipy", reason="protecting regions needs SciPy")
Phantom = Callable[..., np.ndarray]


@pytest.fixture
def job(phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A smooth scan with a patch of noise, which gets the largest errors."""

    def outcomes(
        job: Job, worker: Compressor, cases: Sequence[Case], progress: object
    ) -> Iterator[tuple[Case, Outcome, int]]:
        assert worker.start(1) is None
        for case in cases:
            yield case, worker.run(case), 1

    monkeypatch.setattr(batches, "_executed", outcomes)
    (tmp_path / "scans").mkdir()
    voxels = phantom((40, 36, 32)).astype(np.int16)
    voxels[10:16, 12:18, 14:20] += np.random.default_rng(0).integers(-90, 90, (6, 6, 6), np.int16)
    np.save(tmp_path / "scans" / "spot.npy", voxels)
    target = Target(ratio=12)
    return Job(tmp_path / "scans", tmp_path / "out", target, model="generic", effort="fast")


def test_protected_regions_are_in_ledger_and_report(job: Job) -> None:
    asked = replace(job, protect=True)
    summary = batches.run(asked, quiet)
    assert (summary.done, summary.exit_code) == (1, 0)
    (row,) = [row for row in rows_in(job.output) if row["status"] == "done"]
    told = row["protected"]
    assert 0 < told["share"] <= 0.031
    assert told["ratio"] < told["ratio_before"]
    assert row["request"]["protect"] is True
    assert row["file_bytes"] <= job.target.bytes_for(40 * 36 * 32, 2 * 40 * 36 * 32)
    assert "times that of the rest" in summary.protected["spot.npy"]
    assert "regions protected:\n  spot.npy: " in batch_words.summary(summary)
    again = batches.run(asked, quiet)
    assert (again.before, again.protected) == (1, summary.protected)
    with pytest.raises(InputError, match="protect True"):
        batches.run(job, quiet)


def test_without_the_wish_nothing_is_protected(job: Job) -> None:
    summary = batches.run(job, quiet)
    assert summary.protected == {}
    assert "protect" not in Request(job.target, "auto").described
    assert not any("protected" in row for row in rows_in(job.output))


def test_protection_needs_a_size(job: Job) -> None:
    with pytest.raises(InputError, match="so they need a size"):
        batches.run(
            replace(job, target=Target(goal=QualityGoal("psnr", 30.0)), protect=True), quiet
        )


def test_foreign_lines_of_a_ledger_are_passed_over() -> None:
    assert protected([{"name": "a", "protected": {"share": None}}, {"name": "b"}]) == {}
