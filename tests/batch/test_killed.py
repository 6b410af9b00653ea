"""Runs that are killed between any two steps: outputs and ledger agree."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_runs import files_in, killed, outputs_in, quiet, rows_in

from deepstd.batch import run as batches
from deepstd.batch.ledger import DONE, FAILED, WRITING
from deepstd.batch.run import Job
from deepstd.errors import InputError
from deepstd.io import Metadata
from deepstd.rate.target import Target

STEPS = ["before writing", "after writing", "before rename", "after rename", "before done"]
IN_PLACE = ("after rename", "before done", "after done")


def error_of(path: Path) -> float:
    """The figure that `fake_outcome` gives a scan."""
    return float(np.std(np.load(path)))


@pytest.mark.parametrize("where", [*STEPS, "after done"])
def test_the_next_run_goes_on_and_does_nothing_twice(
    job: Job, faked: list[str], where: str
) -> None:
    with killed(where, "b"):
        batches.run(job, quiet)
    faked.clear()
    was_in_place = (job.output / "b.dstd").exists()
    summary = batches.run(job, quiet)
    assert summary.exit_code == 0
    assert faked == (["c", "sub/d"] if was_in_place else ["b", "c", "sub/d"])
    assert was_in_place == (where in IN_PLACE)
    names = ["a.dstd", "b.dstd", "c.dstd", "ledger.jsonl", "sub/d.dstd"]
    assert sorted(outputs_in(job.output)) == names
    assert sorted(row["name"] for row in rows_in(job.output, DONE)) == ["a", "b", "c", "sub/d"]
    for row in rows_in(job.output, DONE):
        assert row["mae"] == error_of(job.source / f"{row['name']}.npy")
    faked.clear()
    assert batches.run(job, quiet).before == 4
    assert faked == []


@pytest.mark.parametrize("where", STEPS)
@pytest.mark.parametrize("same_time", [False, True])
def test_another_scan_of_the_same_shape_meanwhile_is_not_taken_for_the_one_before(
    job: Job, faked: list[str], where: str, same_time: bool
) -> None:
    with killed(where, "b"):
        batches.run(job, quiet)
    faked.clear()
    path = job.source / "b.npy"
    about = path.stat()
    np.save(path, np.load(path)[::-1] * 100)
    if same_time:
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    summary = batches.run(job, quiet)
    assert (summary.done, summary.exit_code, faked) == (4, 0, ["b", "c", "sub/d"])
    (row,) = rows_in(job.output, DONE)[1:2]
    assert (row["name"], row["mae"]) == ("b", error_of(path))
    assert row["source_hash"] in (job.output / "b.dstd").read_text()


def test_a_scan_that_was_only_copied_again_is_done_again(job: Job, faked: list[str]) -> None:
    with killed("after rename", "b"):
        batches.run(job, quiet)
    faked.clear()
    os.utime(job.source / "b.npy", ns=(5, 5))
    assert batches.run(job, quiet).exit_code == 0
    assert faked == ["b", "c", "sub/d"]


@pytest.mark.parametrize("where", ["after writing", "after rename"])
def test_a_file_of_another_origin_that_came_in_its_place_stays(
    job: Job, faked: list[str], where: str
) -> None:
    with killed(where, "b"):
        batches.run(job, quiet)
    faked.clear()
    (job.output / "b.dstd").write_bytes(b"precious")
    summary = batches.run(job, quiet)
    assert (job.output / "b.dstd").read_bytes() == b"precious"
    assert "did not write it" in summary.failures["b.npy"]
    assert (faked, summary.exit_code) == (["c", "sub/d"], 3)


@pytest.mark.parametrize("where", [*STEPS, "after done"])
def test_killed_where_an_output_of_a_changed_scan_is_replaced(
    job: Job, faked: list[str], where: str
) -> None:
    batches.run(job, quiet)
    path = job.source / "b.npy"
    np.save(path, np.load(path)[::-1] * 7)
    os.utime(path, ns=(9, 9))
    with killed(where, "b"):
        batches.run(job, quiet)
    faked.clear()
    assert batches.run(job, quiet).exit_code == 0
    assert faked == ([] if where in IN_PLACE else ["b"])
    last = [row for row in rows_in(job.output, DONE) if row["name"] == "b"][-1]
    assert last["mae"] == error_of(path)
    assert last["source_hash"] in (job.output / "b.dstd").read_text()


def test_another_request_does_not_take_over_what_a_kill_left(job: Job, faked: list[str]) -> None:
    with killed("after rename", "b"):
        batches.run(job, quiet)
    faked.clear()
    other = replace(job, target=Target(ratio=32))
    with pytest.raises(InputError, match="another request"):
        batches.run(other, quiet)
    other = replace(job, metadata=Metadata.NONE, overwrite=True)
    assert batches.run(other, quiet).exit_code == 0
    assert faked == ["a", "b", "c", "sub/d"]


def test_an_output_without_a_line_is_of_another_origin(job: Job, faked: list[str]) -> None:
    """As an earlier release left it, that wrote no line before the output: nothing ties it."""
    batches.run(job, quiet)
    path = job.output / "ledger.jsonl"
    lines = [line for line in path.read_bytes().splitlines(True) if b'"b"' not in line]
    path.write_bytes(b"".join(lines))
    faked.clear()
    summary = batches.run(job, quiet)
    assert "did not write it" in summary.failures["b.npy"]
    assert faked == []
    assert batches.run(replace(job, overwrite=True), quiet).exit_code == 0
    assert faked == ["b"]


def test_a_scan_that_cannot_be_read_any_more_fails(job: Job, faked: list[str]) -> None:
    with killed("after rename", "b"):
        batches.run(job, quiet)
    (job.source / "b.npy").write_bytes(b"no scan")
    summary = batches.run(job, quiet)
    assert list(summary.failures) == ["b.npy"]
    assert rows_in(job.output, FAILED)[-1]["name"] == "b"


def test_planning_what_a_kill_left_writes_nothing(job: Job, faked: list[str]) -> None:
    with killed("after rename", "b"):
        batches.run(job, quiet)
    before = files_in(job.output)
    told = batches.forecast(job)
    assert files_in(job.output) == before
    assert (told.done, told.to_do, told.refused) == (2, 2, {})


def test_a_part_takes_over_what_was_left_by_a_run_of_all(job: Job, faked: list[str]) -> None:
    from deepstd.batch.shard import Shard

    with killed("after rename", "b"):
        batches.run(job, quiet)
    faked.clear()
    for index in (1, 2):
        batches.run(replace(job, shard=Shard(index, 2)), quiet)
    assert sorted(faked) == ["c", "sub/d"]


def test_the_line_before_the_rename_has_both_hashes(job: Job, faked: list[str]) -> None:
    batches.run(job, quiet)
    for row in rows_in(job.output, WRITING):
        assert len(row["output_hash"]) == 64
        assert len(row["source_hash"]) == 32
