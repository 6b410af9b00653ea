"""Fixtures of the tests of batches."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from batch_runs import fake_outcome, quiet
from bids_sets import make_bids

from deepstd.batch import run as batches
from deepstd.batch.book import Book
from deepstd.batch.case import Case
from deepstd.batch.run import Job
from deepstd.batch.work import Outcome, Worker
from deepstd.io import ScanSource
from deepstd.rate.target import Target


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


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cases are read but not compressed, in this process; the names of those that were."""
    done: list[str] = []

    def outcomes(
        job: Job, worker: object, cases: Sequence[Case], book: Book
    ) -> Iterator[tuple[Case, Outcome, int]]:
        for case in cases:
            done.append(case.name)
            book.begin(case)
            yield case, fake_outcome(case, job.metadata), 1

    monkeypatch.setattr(batches, "_executed", outcomes)
    return done


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three scans in a folder and one below it."""
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "c", "sub/d")):
        voxels = np.random.default_rng(number).normal(0, number + 1, (8, 8, 8))
        np.save(folder / f"{name}.npy", np.rint(voxels).astype(np.int16))
    return folder


@pytest.fixture
def job(scans: Path, tmp_path: Path) -> Job:
    """A ratio of 16 for these scans."""
    return Job(scans, tmp_path / "out", Target(ratio=16))


def _in_process(patched: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []

    def outcomes(
        cases: Sequence[Case], worker: Worker[Case], *others: object
    ) -> Iterator[tuple[Case, Outcome, int]]:
        assert worker.start(1) is None
        for case in cases:
            done.append(case.name)
            yield case, worker.run(case), 1

    def executed(job: Job, worker: Worker[Case], cases: Sequence[Case], book: Book) -> object:
        return outcomes(cases, worker)

    patched.setattr(batches, "_executed", executed)
    patched.setattr("deepstd.batch.local.outcomes", outcomes)
    return done


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cases are done in this process; the names of those that were."""
    return _in_process(monkeypatch)


@pytest.fixture(scope="session")
def compressed_bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, "bids", and the same without loss, "out"; copy it to change it."""
    folder = tmp_path_factory.mktemp("sets")
    source = make_bids(folder / "bids")
    with pytest.MonkeyPatch.context() as patched:
        _in_process(patched)
        batches.run(Job(source, folder / "out", Target(lossless=True)), quiet)
    return folder
