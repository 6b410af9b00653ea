"""The archive: series of a spool become files; originals go only where that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import save, series, voxels_of
from pydicom.dataset import Dataset

import deepstd
from deepstd.batch.case import Request
from deepstd.batch.ledger import Ledger
from deepstd.batch.work import Compressor, Outcome
from deepstd.io import Metadata
from deepstd.network.archive import Archive, Verifier, Work
from deepstd.network.spool import Spool, Uids
from deepstd.rate.target import Target

EXACT = Target(lossless=True)


class Setup:
    """An archive with outputs beside its spool, and what it reported."""

    def __init__(self, folder: Path, spool: Spool, ledger: Ledger) -> None:
        self.folder, self.spool, self.ledger = folder, spool, ledger
        self.told: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def archive(self, *, delete: bool = False, metadata: Metadata = Metadata.ALL) -> Archive:
        request = Request(EXACT, "auto", metadata=metadata)
        work = Work(request, Compressor(request, "auto", "cpu"), 1, delete, "cpu")
        tell, report = self.told.append, self.rows.append
        return Archive(self.spool, self.folder / "out", self.ledger, work, tell, report)

    def store(self, datasets: list[Dataset]) -> str:
        key = ""
        for dataset in datasets:
            path = self.spool.incoming / "a"
            dataset.save_as(path, enforce_file_format=True)
            study, one, instance = (
                str(dataset[f"{name}InstanceUID"].value) for name in ("Study", "Series", "SOP")
            )
            uids = Uids(study, one, instance)
            self.spool.store(path, uids)
            key = uids.key
        return key

    @property
    def outputs(self) -> list[Path]:
        return sorted((self.folder / "out").glob("*.dstd"))


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """Cases are done in this process."""

    def outcomes(cases: Any, worker: Any, processes: int, begin: Any = None) -> Iterator[Any]:
        assert worker.start(1) is None
        for case in cases:
            yield case, worker.run(case), 1

    monkeypatch.setattr("deepstd.batch.local.outcomes", outcomes)
    monkeypatch.setattr("deepstd.threads.limit_process", lambda threads: None)
    (tmp_path / "out").mkdir()
    with Spool(tmp_path / "spool") as spool, Ledger(tmp_path / "out" / "ledger.jsonl") as ledger:
        yield Setup(tmp_path, spool, ledger)


def test_series_become_files_whose_voxels_are_the_same(setup: Setup) -> None:
    keys = [setup.store(series(5, number)) for number in (1, 2)]
    archive = setup.archive()
    assert not archive.is_done(keys[0])
    archive.compress(keys)
    assert len(setup.outputs) == len(setup.rows) == 2
    for number, key in enumerate(keys, 1):
        (path,) = [one for one in setup.outputs if key in one.name]
        assert path.name.startswith(f"20200229_part-{number}_{key}-")
        back = deepstd.decompress(path).voxels
        assert np.array_equal(back[:, ::1], voxels_of(series(5, number)))
        assert archive.is_done(key)
        assert len(setup.spool.names(key)) == 5


def test_late_slices_are_added_to_the_output(setup: Setup) -> None:
    whole = series(5)
    archive = setup.archive(metadata=Metadata.DEIDENTIFIED)
    key = setup.store(whole[:3])
    archive.compress([key])
    assert not setup.outputs[0].name.startswith("2020")  # no date, where metadata are not kept
    setup.store(whole)
    assert not archive.is_done(key)
    archive.compress([key])
    assert len(setup.outputs) == 1
    assert deepstd.decompress(setup.outputs[0]).shape == (16, 16, 5)
    before = setup.outputs[0].stat().st_mtime_ns
    archive.compress([key])
    assert setup.outputs[0].stat().st_mtime_ns == before
    assert len(setup.rows) == 2


def test_verified_originals_are_deleted_and_late_slices_get_a_file_of_their_own(
    setup: Setup,
) -> None:
    whole = series(5)
    archive = setup.archive(delete=True)
    key = setup.store(whole[:3])
    archive.compress([key])
    assert not setup.spool.names(key)
    assert any("3 originals deleted" in text for text in setup.told)
    first = setup.outputs[0].read_bytes()
    setup.store(whole)  # three of them are known
    assert len(setup.spool.names(key)) == 2
    archive.compress([key])
    assert not setup.spool.names(key)
    other, one = setup.outputs  # "-" comes before "."
    assert one.read_bytes() == first
    assert other.stem == one.stem + "-2"
    slices = [deepstd.decompress(path).voxels for path in (one, other)]
    assert np.array_equal(np.concatenate(slices, axis=2), voxels_of(whole))


def test_originals_stay_where_the_output_is_not_theirs(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = setup.store(series(3))
    setup.archive().compress([key])
    other = save(series(3, 2), setup.folder / "other")
    deepstd.compress(other, setup.outputs[0], lossless=True, overwrite=True)
    verifier = Verifier(setup.folder / "out", "cpu")
    monkeypatch.setattr(Compressor, "run", lambda self, case: Outcome(0.0, error="not now"))
    run = Verifier.run
    seen = []

    def noting(self: Verifier, case: Any) -> Outcome:
        seen.append(run(verifier, case))
        return seen[-1]

    monkeypatch.setattr(Verifier, "run", noting)
    monkeypatch.setattr("deepstd.batch.plan.has_size", lambda path, nbytes: True)
    setup.archive(delete=True).compress([key])
    assert [outcome.error for outcome in seen] == ["the output is not what it states"]
    assert len(setup.spool.names(key)) == 3
    assert "originals stay" in setup.rows[-1]["error"]


def test_what_is_no_grey_image_stays_in_the_spool_and_is_told(setup: Setup) -> None:
    slices = series(3)
    report = series(4)[3]
    del report.PixelData, report.Rows, report.Columns
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"  # a text
    key = setup.store([*slices, report])
    setup.archive(delete=True).compress([key])
    assert len(setup.outputs) == 1
    assert len(setup.spool.names(key)) == 4
    assert any("1 objects are no grey images" in text for text in setup.told)


def test_a_series_that_fails_stays_and_is_tried_at_the_next_start(setup: Setup) -> None:
    broken = series(3, PatientID="A")
    broken[1].PatientID = "B"  # two patients in one series
    key = setup.store(broken)
    archive = setup.archive(delete=True)
    archive.compress([key])
    assert setup.outputs == []
    assert "two patients" in setup.rows[0]["error"]
    assert len(setup.spool.names(key)) == 3
    assert not archive.is_done(key)
    mark = json.loads((setup.spool.root / key / ".compressed.json").read_text())
    assert mark["failed"]
