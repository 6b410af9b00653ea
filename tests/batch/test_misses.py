"""Batches of a size and a quality: scans that miss the quality are treated as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_runs import quiet, rows_in

import deepstd
from deepstd.batch import run as batches
from deepstd.batch.case import Case, Request
from deepstd.batch.misses import OnMiss
from deepstd.batch.run import Job
from deepstd.batch.work import Compressor, Outcome
from deepstd.cli import batch_words
from deepstd.cli.app import main
from deepstd.errors import InputError
from deepstd.rate.goal import QualityGoal
from deepstd.rate.target import Target

Phantom = Callable[..., np.ndarray]
BOTH = Target(ratio=12, goal=QualityGoal("psnr", 29.0))


@pytest.fixture
def job(only_tiny: Path, phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A scan that keeps a PSNR of 29 dB at 12:1, and one of noise that does not."""

    def outcomes(
        job: Job, worker: Compressor, cases: Sequence[Case], progress: object
    ) -> Iterator[tuple[Case, Outcome, int]]:
        assert worker.start(1) is None
        for case in cases:
            yield case, worker.run(case), 1

    monkeypatch.setattr(batches, "_executed", outcomes)
    (tmp_path / "scans").mkdir()
    np.save(tmp_path / "scans" / "ball.npy", phantom((20, 18, 16)))
    noise = np.random.default_rng(0).integers(0, 250, (20, 18, 16), dtype=np.int16)
    np.save(tmp_path / "scans" / "noise.npy", noise)
    return Job(tmp_path / "scans", tmp_path / "out", BOTH, model="tiny", effort="fast")


def test_a_miss_is_a_failure(job: Job) -> None:
    summary = batches.run(job, quiet)
    assert (summary.done, summary.exit_code, summary.misses) == (1, 3, {})
    assert "a PSNR of at least 29 dB was asked for" in summary.failures["noise.npy"]
    assert [path.stem for path in job.output.glob("*.dstd")] == ["ball"]


@pytest.mark.parametrize("on_miss", OnMiss)
def test_a_miss_is_treated_as_asked(job: Job, on_miss: OnMiss) -> None:
    asked = replace(job, on_miss=on_miss)
    summary = batches.run(asked, quiet)
    assert (summary.done, summary.exit_code) == (2, 0)
    assert list(summary.misses) == [on_miss]
    assert list(summary.misses[on_miss]) == ["noise.npy"]
    assert "29 dB was asked for" in summary.misses[on_miss]["noise.npy"]
    text = batch_words.summary(summary)
    title = {"keep": "kept, though", "lossless": "stored without loss", "flag": "flagged"}
    assert f"{title[on_miss]}" in text
    assert "noise.npy: at " in text
    rows = {row["name"]: row for row in rows_in(job.output) if row["status"] == "done"}
    assert rows["noise"]["on_miss"] == on_miss
    assert "on_miss" not in rows["ball"]
    told = deepstd.info(job.output / "noise.dstd")
    assert told.lossless == (on_miss is OnMiss.LOSSLESS)
    if not told.lossless:
        assert told.asked is not None
        assert not told.asked.kept
        assert told.ratio >= 12
    again = batches.run(asked, quiet)
    assert (again.before, again.misses) == (2, summary.misses)
    with pytest.raises(InputError, match=f"on-miss {on_miss}, model"):
        batches.run(job, quiet)


def test_the_request_is_in_the_ledger() -> None:
    described = Request(BOTH, "auto", on_miss=OnMiss.FLAG).described
    assert described["min_psnr"] == 29.0
    assert described["ratio"] == 12
    assert described["on_miss"] == "flag"
    assert "on_miss" not in Request(BOTH, "auto").described


def test_the_option_needs_a_size_and_a_quality(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (["--ratio", "12"], ["--min-psnr", "30"], ["--lossless"]):
        words = ["batch", str(tmp_path), str(tmp_path / "out"), *options, "--on-miss", "keep"]
        assert main(words) == 2
        assert "--on-miss needs a size and a quality" in " ".join(capsys.readouterr().err.split())


def test_outputs_get_an_exact_part(job: Job) -> None:
    asked = replace(job, target=Target(ratio=12), with_residual=True)
    summary = batches.run(asked, quiet)
    assert (summary.done, summary.exit_code) == (2, 0)
    for row in rows_in(job.output):
        if row["status"] != "done":
            continue
        path = job.output / f"{row['name']}.dstd"
        assert 0 < row["exact_bytes"] < row["file_bytes"] == path.stat().st_size
        restored = deepstd.decompress(path).voxels
        np.testing.assert_array_equal(restored, np.load(job.source / f"{row['name']}.npy"))
        assert deepstd.info(path).lossy_ratio >= 12
    assert batches.run(asked, quiet).before == 2
    with pytest.raises(InputError, match="another request"):
        batches.run(replace(job, target=Target(ratio=12)), quiet)
    lossless = Job(job.source, job.output, Target(lossless=True), with_residual=True)
    with pytest.raises(InputError, match="needs no residual"):
        batches.run(lossless, quiet)
