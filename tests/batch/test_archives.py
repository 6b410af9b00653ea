"""Zip archives among the scans of a batch: what is in them is compressed, whatever it is called."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import pytest
from batch_runs import files_in, outputs_in, quiet, rows_in
from bids_sets import dicom_slice

from deepstd.batch import run as batches
from deepstd.batch.case import Case, fingerprint
from deepstd.batch.ray_executor import RemoteWorker
from deepstd.batch.run import Job
from deepstd.batch.work import Outcome
from deepstd.io import Metadata, discover

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")


@pytest.fixture
def packed(job: Job) -> Job:
    """An archive of a NumPy scan, a DICOM series, unsafe names and a broken scan."""
    scan = (job.source / "a.npy").read_bytes()
    with zipfile.ZipFile(job.source / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/one.npy", scan)
        archive.writestr("../../up.npy", scan)
        archive.writestr("/etc/abs.npy", scan)
        archive.writestr("broken.nii", b"no scan")
        archive.writestr("notes.txt", b"")
        for k in range(3):
            archive.writestr(f"series/IM{k}", dicom_slice(k))
    return job


def test_what_is_in_an_archive_is_done_and_lies_below_a_folder_of_its_name(
    packed: Job, faked: list[str]
) -> None:
    summary = batches.run(packed, quiet)
    (series,) = (scan for scan in discover(packed.source).scans if scan.series)
    names = sorted(outputs_in(packed.output))
    assert [name for name in names if not name.startswith("all.zip/member-")] == [
        "a.dstd",
        f"all.zip/series/{series.series}.dstd",
        "all.zip/x/one.dstd",
        "b.dstd",
        "c.dstd",
        "ledger.jsonl",
        "sub/d.dstd",
    ]
    assert len(names) == 9
    assert summary.failures == {
        "all.zip/broken.nii": "does not begin as a NIfTI file, which its suffix promises. It is "
        "damaged, cut short or of another kind"
    }
    assert [(one.kind, one.files) for one in summary.passed_over] == [
        (".txt files", {"all.zip/notes.txt": ""})
    ]
    sources = {row["name"]: row["source"] for row in rows_in(packed.output, "done")}
    assert sources["all.zip/x/one"] == "all.zip/x/one.npy"
    assert not (packed.output.parent / "up.dstd").exists()
    faked.clear()
    assert batches.run(packed, quiet).before == 8
    assert faked == ["all.zip/broken"]


def test_an_archive_that_changed_is_done_again(packed: Job, faked: list[str]) -> None:
    batches.run(packed, quiet)
    faked.clear()
    with zipfile.ZipFile(packed.source / "all.zip", "a") as archive:
        archive.writestr("y.npy", (packed.source / "b.npy").read_bytes())
    batches.run(packed, quiet)
    assert "all.zip/y" in faked
    assert "b" not in faked


def test_an_archive_may_be_the_source(packed: Job, faked: list[str]) -> None:
    job = replace(packed, source=packed.source / "all.zip")
    assert batches.run(job, quiet).done == 4
    assert "all.zip/x/one.dstd" in files_in(job.output)


def test_series_are_called_by_date_and_description_where_everything_is_kept(
    packed: Job, faked: list[str]
) -> None:
    job = replace(packed, metadata=Metadata.ALL)
    batches.run(job, quiet)
    assert [name for name in files_in(job.output) if "/series/T1_" in name]
    faked.clear()
    batches.run(job, quiet)
    assert faked == ["all.zip/broken"]


def test_members_are_sent_to_a_node_that_does_not_see_the_archive(packed: Job) -> None:
    read: list[str] = []

    class Reader:
        def start(self, threads: int) -> str | None:
            return None

        def run(self, case: Case) -> Outcome:
            assert packed.source not in case.scan.files[0].parents
            read.append(fingerprint(case.read(Metadata.DEIDENTIFIED)))
            return Outcome(0.1)

    for scan in discover(packed.source).scans:
        if not scan.members or scan.name == "all.zip/broken":
            continue
        case = Case(scan, packed.source, "")
        contents = [item.open().read() for item in scan.items]
        assert RemoteWorker(Reader()).run(case, contents) is not None
        assert read[-1] == fingerprint(case.read(Metadata.DEIDENTIFIED))
    assert len(read) == 4
