"""Folders that are linked, shared, moved away or somebody else's: nothing is lost or spoilt."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_runs import fake_outcome, files_in, outputs_in, quiet, rows_in

import deepstd
from deepstd.batch import run as batches
from deepstd.batch.book import Book
from deepstd.batch.case import Case
from deepstd.batch.ledger import DONE, WRITING, Ledger, path_of
from deepstd.batch.run import Job
from deepstd.batch.shard import Shard
from deepstd.batch.work import Outcome
from deepstd.errors import InputError

NAMES = ["a.dstd", "b.dstd", "c.dstd", "ledger.jsonl", "sub/d.dstd"]


@contextmanager
def unchanged(*folders: Path) -> Iterator[None]:
    """Check that nothing is written below folders, nor taken away."""
    before = [files_in(folder) for folder in folders]
    yield
    assert [files_in(folder) for folder in folders] == before


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that is no concern of the run, with a file of each name it might write."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("d.dstd", "half.dstd", "ledger.jsonl"):
        (folder / name).write_bytes(b"precious")
    return folder


def test_a_ledger_of_another_origin_ends_the_run_at_once(job: Job, faked: list[str]) -> None:
    job.output.mkdir()
    (job.output / "ledger.jsonl").write_bytes(b"account,amount\n1,2")
    with unchanged(job.output):
        for attempt in (lambda: batches.run(job, quiet), lambda: batches.forecast(job)):
            with pytest.raises(InputError, match="is no ledger of this command"):
                attempt()
    assert faked == []


def test_a_link_for_a_ledger_is_not_followed(job: Job, faked: list[str], elsewhere: Path) -> None:
    job.output.mkdir()
    (job.output / "ledger.jsonl").symlink_to(elsewhere / "ledger.jsonl")
    with unchanged(job.output, elsewhere), pytest.raises(InputError, match="is a link"):
        batches.run(job, quiet)


def test_outputs_do_not_go_through_a_link(job: Job, faked: list[str], elsewhere: Path) -> None:
    job.output.mkdir()
    (job.output / "sub").symlink_to(elsewhere, target_is_directory=True)
    with unchanged(elsewhere, job.source):
        for overwrite in (False, True):
            summary = batches.run(replace(job, overwrite=overwrite), quiet)
            assert "is a link" in summary.failures["sub/d.npy"]
            assert (summary.done, summary.exit_code) == (3, 3)
    assert "sub/d" not in faked
    (job.output / "sub").unlink()
    assert batches.run(job, quiet).exit_code == 0


def test_a_link_that_comes_meanwhile_is_not_followed_either(
    job: Job, monkeypatch: pytest.MonkeyPatch, faked: list[str], elsewhere: Path
) -> None:
    record = Book.record

    def linking(book: Book, case: Case, outcome: Outcome, tries: int) -> None:
        if case.name == "sub/d":
            (job.output / "sub").symlink_to(elsewhere, target_is_directory=True)
        record(book, case, outcome, tries)

    monkeypatch.setattr(Book, "record", linking)
    with unchanged(elsewhere):
        assert "is a link" in batches.run(job, quiet).failures["sub/d.npy"]


def test_a_link_for_the_working_folder_is_not_followed(
    job: Job, faked: list[str], elsewhere: Path
) -> None:
    job.output.mkdir()
    (job.output / ".deepstd-batch").symlink_to(elsewhere, target_is_directory=True)
    with unchanged(elsewhere), pytest.raises(InputError, match=r"\.deepstd-batch: is a link"):
        batches.run(job, quiet)
    assert faked == []


def test_an_output_that_is_a_link_is_replaced_and_not_written_through(
    job: Job, faked: list[str], elsewhere: Path
) -> None:
    job.output.mkdir()
    (job.output / "a.dstd").symlink_to(elsewhere / "d.dstd")
    with unchanged(elsewhere):
        assert "did not write it" in batches.run(job, quiet).failures["a.npy"]
        assert batches.run(replace(job, overwrite=True), quiet).exit_code == 0
    assert not (job.output / "a.dstd").is_symlink()


def test_linked_folders_of_scans_write_nowhere_but_below_the_output(
    job: Job, faked: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "e.npy", np.arange(512, dtype=np.int16).reshape(8, 8, 8))
    (job.source / "linked").symlink_to(other, target_is_directory=True)
    (job.source / "back").symlink_to(job.source, target_is_directory=True)
    with unchanged(other, job.source):
        assert batches.run(job, quiet).exit_code == 0
    assert sorted(outputs_in(job.output)) == sorted([*NAMES, "linked/e.dstd"])


def test_an_output_folder_among_the_scans_is_no_scan(job: Job, faked: list[str]) -> None:
    job = replace(job, output=job.source / "out")
    (job.source / "again").symlink_to(job.output, target_is_directory=True)
    for _ in range(2):
        assert batches.run(job, quiet).done == 4
    assert sorted(outputs_in(job.output)) == NAMES


def vanishing(monkeypatch: pytest.MonkeyPatch, after: int, vanish: Callable[[], None]) -> list[str]:
    """Let something happen after so many cases; the names of the cases that were begun."""
    done: list[str] = []

    def outcomes(
        job: Job, worker: object, cases: Sequence[Case], book: Book
    ) -> Iterator[tuple[Case, Outcome, int]]:
        for case in cases:
            if len(done) == after:
                vanish()
            done.append(case.name)
            yield case, fake_outcome(case), 1

    monkeypatch.setattr(batches, "_executed", outcomes)
    return done


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_an_output_folder_that_goes_away_ends_the_run_at_once(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    moved = tmp_path / "moved"

    def vanish() -> None:
        job.output.rename(moved)
        if how == "deleted":
            shutil.rmtree(moved)
        if how == "replaced":
            job.output.mkdir()

    done = vanishing(monkeypatch, 2, vanish)
    with pytest.raises(InputError, match=r"out: nothing can be written .*2 scans were done, 2 are"):
        batches.run(job, quiet)
    assert done == ["a", "b", "c"]
    assert not job.output.exists() or files_in(job.output) == {}
    if how != "deleted":
        shutil.rmtree(job.output, ignore_errors=True)
        moved.rename(job.output)
    done = vanishing(monkeypatch, -1, vanish)
    assert batches.run(job, quiet).done == 4
    assert done == (["a", "b", "c", "sub/d"] if how == "deleted" else ["c", "sub/d"])
    assert sorted(outputs_in(job.output)) == NAMES


def test_a_folder_of_outputs_that_goes_away_is_made_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish() -> None:
        shutil.rmtree(job.output / ".deepstd-batch")

    done = vanishing(monkeypatch, 2, vanish)
    assert batches.run(job, quiet).exit_code == 0
    assert len(done) == 4


def test_a_folder_that_goes_away_while_it_is_written_ends_the_run(
    job: Job, faked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replacing = os.replace

    def vanish(source: Any, target: Any) -> None:
        if Path(target).name == "b.dstd":
            job.output.rename(tmp_path / "moved")
        replacing(source, target)

    monkeypatch.setattr(os, "replace", vanish)
    with pytest.raises(InputError, match="1 scans were done, 3 are left"):
        batches.run(job, quiet)
    monkeypatch.setattr(os, "replace", replacing)
    (tmp_path / "moved").rename(job.output)
    faked.clear()
    assert batches.run(job, quiet).exit_code == 0
    assert faked == ["b", "c", "sub/d"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("status", [WRITING, DONE])
def test_a_disk_that_takes_nothing_more_ends_the_run_with_the_folders_name(
    job: Job, faked: list[str], monkeypatch: pytest.MonkeyPatch, number: int, status: str
) -> None:
    append = Ledger.append

    def full(ledger: Ledger, row: Any) -> Any:
        if (row["name"], row["status"]) == ("c", status):
            raise OSError(number, os.strerror(number))
        return append(ledger, row)

    monkeypatch.setattr(Ledger, "append", full)
    with pytest.raises(InputError, match=rf"out: .*{os.strerror(number)}.* 2 are left"):
        batches.run(job, quiet)
    assert [row["name"] for row in rows_in(job.output, DONE)] == ["a", "b"]


def test_a_run_of_all_and_a_part_do_nothing_twice(job: Job, faked: list[str]) -> None:
    """The second is refused while the first is at work, and then finds its scans done."""
    part = replace(job, shard=Shard(1, 2))
    refused = []
    begin = Book.begin

    def trying(book: Book, case: Case) -> None:
        begin(book, case)
        try:
            batches.run(part, quiet)
        except InputError as error:
            refused.append(str(error))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Book, "begin", trying)
        batches.run(job, quiet)
    assert len(refused) == 4
    assert "another run is writing it" in refused[0]
    assert sorted(faked) == ["a", "b", "c", "sub/d"]
    assert batches.run(part, quiet).before == batches.run(part, quiet).done
    assert sorted(faked) == ["a", "b", "c", "sub/d"]


def test_another_process_is_refused_until_the_run_is_over(job: Job, faked: list[str]) -> None:
    job.output.mkdir()
    code = (
        "import sys; from pathlib import Path; from deepstd.batch.ledger import Ledger\n"
        "with Ledger(Path(sys.argv[1])) as ledger:\n"
        "    print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path_of(job.output, Shard(1, 2)))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(deepstd.__file__).parents[1])},
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    with pytest.raises(InputError, match="ledger-1-of-2"):
        batches.run(job, quiet)
    other.kill()
    other.communicate()
    assert batches.run(job, quiet).exit_code == 0


def test_no_output_is_larger_than_the_files_of_its_scan(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcomes(
        job: Job, worker: object, cases: Sequence[Case], book: Book
    ) -> Iterator[tuple[Case, Outcome, int]]:
        for case in cases:
            told = fake_outcome(case)
            size = case.scan.nbytes + (1 if case.name == "b" else 0)
            yield case, replace(told, data=bytes(size)), 1

    monkeypatch.setattr(batches, "_executed", outcomes)
    summary = batches.run(job, quiet)
    assert list(summary.failures) == ["b.npy"]
    assert "more than the" in summary.failures["b.npy"]
    assert not (job.output / "b.dstd").exists()
    json.dumps(summary.to_dict())
