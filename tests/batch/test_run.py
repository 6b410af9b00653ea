"""A whole batch in this process: outputs, ledger, what is refused, what is forecast."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from batch_runs import outputs_in, quiet, rows_in

from deepstd import api, io
from deepstd.batch import run as batches
from deepstd.batch.case import Case, Request
from deepstd.batch.ledger import Ledger
from deepstd.batch.ray_executor import RemoteWorker
from deepstd.batch.run import Job
from deepstd.batch.shard import Shard
from deepstd.batch.work import Compressor
from deepstd.codec.choice import best_encoding
from deepstd.codec.codec import Codec
from deepstd.container import parse
from deepstd.errors import BundleNotFoundError, InputError
from deepstd.io import Metadata
from deepstd.progress import Progress
from deepstd.rate.target import Target


@pytest.fixture
def job(
    tmp_path: Path, phantom: Callable[..., np.ndarray], tiny_bundle: Path, in_process: list[str]
) -> Job:
    """Three scans and a broken one, at a ratio of 16 with the bundle "tiny"."""
    source = tmp_path / "scans"
    (source / "sub").mkdir(parents=True)
    np.save(source / "a.npy", phantom((18, 16, 12)))
    np.save(source / "b.npy", phantom((18, 17, 12), "uint8"))
    image = nibabel.Nifti1Image(phantom((18, 16, 14)), np.eye(4))
    image.header["descrip"] = b"Jane Doe"
    nibabel.save(image, source / "sub" / "c.nii.gz")
    (source / "sub" / "broken.nii.gz").write_bytes(b"not a scan")
    return Job(source, tmp_path / "out", Target(ratio=16), str(tiny_bundle))


def rows(job: Job) -> list[dict[str, Any]]:
    return [row for row in rows_in(job.output) if row["status"] != "writing"]


def files(job: Job) -> list[str]:
    return sorted(outputs_in(job.output))


def test_what_is_there_afterwards(job: Job) -> None:
    summary = batches.run(job, quiet)
    assert (summary.found, summary.done, summary.before, summary.exit_code) == (4, 3, 0, 3)
    assert list(summary.failures) == ["sub/broken.nii.gz"]
    assert files(job) == ["a.dstd", "b.dstd", "ledger.jsonl", "sub/c.dstd"]
    assert sorted(path.name for path in job.output.iterdir() if path.name[0] == ".") == []
    assert [total.data for total in summary.totals] == [
        "nifti1 int16",
        "npy int16",
        "npy uint8",
        "all",
    ]
    everything = summary.totals[-1]
    assert (everything.scans, everything.stored_bytes) == (3, 2 * 18 * 16 * 26 + 18 * 17 * 12)
    assert everything.file_bytes == sum(p.stat().st_size for p in job.output.rglob("*.dstd"))
    json.dumps(summary.to_dict(), allow_nan=False)


def test_the_ledger(job: Job) -> None:
    batches.run(job, quiet)
    by_name = {row["name"]: row for row in rows(job)}
    assert len(rows(job)) == len(by_name) == 4
    done = by_name["sub/c"]
    assert (done["status"], done["source"], done["attempt"]) == ("done", "sub/c.nii.gz", 1)
    assert done["file_bytes"] == (job.output / "sub" / "c.dstd").stat().st_size
    assert 16 <= done["ratio"] < 16.1
    assert done["psnr"] > 20
    failed = by_name["sub/broken"]
    assert failed["status"] == "failed"
    assert failed["error"].startswith("does not begin as a NIfTI file")
    assert str(job.source) not in (job.output / "ledger.jsonl").read_text()


def test_again_only_what_failed(job: Job, faked: list[str]) -> None:
    batches.run(job, quiet)
    faked.clear()
    summary = batches.run(job, quiet)
    assert faked == ["sub/broken"]
    assert (summary.done, summary.before, summary.exit_code) == (3, 3, 3)
    assert [row["attempt"] for row in rows(job) if row["name"] == "sub/broken"] == [1, 2]
    (job.source / "sub" / "broken.nii.gz").unlink()
    faked.clear()
    assert batches.run(job, quiet).exit_code == 0
    assert faked == []


def test_parts(job: Job, faked: list[str]) -> None:
    for index in (1, 2, 3):
        batches.run(replace(job, shard=Shard(index, 3)), quiet)
    assert sorted(faked) == ["a", "b", "sub/broken", "sub/c"]
    faked.clear()
    assert batches.run(job, quiet).done == 3
    assert faked == ["sub/broken"]


def test_only_failures(job: Job) -> None:
    assert batches.run(replace(job, target=Target(ratio=1e9)), quiet).exit_code == 1


def test_a_file_of_another_origin_stays(job: Job, faked: list[str]) -> None:
    job.output.mkdir()
    (job.output / "a.dstd").write_bytes(b"precious")
    for _ in range(2):
        summary = batches.run(job, quiet)
        assert (job.output / "a.dstd").read_bytes() == b"precious"
        assert "did not write it" in summary.failures["a.npy"]
    assert batches.run(replace(job, overwrite=True), quiet).done == 3
    assert (job.output / "a.dstd").read_bytes() != b"precious"


def test_a_file_that_appears_meanwhile_stays(
    job: Job, faked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = io.read_scan

    def interfere(*arguments: Any, **options: Any) -> Any:
        (job.output / "a.dstd").write_bytes(b"precious")
        return read(*arguments, **options)

    monkeypatch.setattr("deepstd.io.read_scan", interfere)
    assert "a.npy" in batches.run(job, quiet).failures
    assert (job.output / "a.dstd").read_bytes() == b"precious"


def test_a_changed_scan_is_done_again(job: Job, faked: list[str]) -> None:
    batches.run(job, quiet)
    np.save(job.source / "a.npy", np.load(job.source / "a.npy")[::-1])
    os.utime(job.source / "a.npy", ns=(5, 5))
    before = (job.output / "a.dstd").read_bytes()
    faked.clear()
    batches.run(job, quiet)
    assert faked == ["a", "sub/broken"]
    assert (job.output / "a.dstd").read_bytes() != before


def test_a_scan_that_was_compressed_by_hand_stays(job: Job, faked: list[str]) -> None:
    batches.run(job, quiet)
    target = job.output / "a.dstd"
    api.compress(
        job.source / "a.npy", target, ratio=8, model=job.model, effort="fast", overwrite=True
    )
    by_hand = target.read_bytes()
    faked.clear()
    for _ in range(2):
        summary = batches.run(job, quiet)
        assert target.read_bytes() == by_hand
        assert "did not write it" in summary.failures["a.npy"]
        assert (summary.done, summary.exit_code) == (2, 3)
    assert list(batches.forecast(job).refused) == ["a.npy"]
    assert faked == ["sub/broken"] * 2
    assert batches.run(replace(job, overwrite=True), quiet).done == 3
    assert target.read_bytes() != by_hand


def text_of(data: bytes) -> bytes:
    """The free text of a NIfTI scan that a file keeps."""
    return parse(data, "c").source_header().raw[148:228].rstrip(b"\0")


@pytest.mark.parametrize(
    ("metadata", "text"),
    [(Metadata.DEIDENTIFIED, b"Jane Doe"), (Metadata.ALL, b"Jane Doe"), (Metadata.NONE, b"")],
)
def test_metadata(job: Job, metadata: Metadata, text: bytes) -> None:
    job = replace(job, source=job.source / "sub", metadata=metadata, effort="fast")
    batches.run(job, quiet)
    assert text_of((job.output / "c.dstd").read_bytes()) == text
    assert {row["request"]["metadata"] for row in rows(job)} == {str(metadata)}


@pytest.mark.parametrize("metadata", list(Metadata))
def test_as_much_metadata_is_read_as_is_asked_for(
    job: Job, monkeypatch: pytest.MonkeyPatch, metadata: Metadata
) -> None:
    asked = []

    def noted(scan: io.ScanSource, metadata: Metadata) -> Any:
        asked.append(metadata)
        raise InputError("not now")

    monkeypatch.setattr("deepstd.io.read_scan", noted)
    assert batches.run(replace(job, metadata=metadata), quiet).exit_code == 1
    assert asked == [metadata] * 4


def test_effort(job: Job, tmp_path: Path) -> None:
    made = {}
    for effort in ("fast", "normal"):
        asked = replace(job, output=tmp_path / effort, effort=effort)
        batches.run(asked, quiet)
        made[effort] = (asked.output / "a.dstd").read_bytes()
        assert {row["request"]["effort"] for row in rows(asked)} == {effort}
        alone = tmp_path / f"{effort}.dstd"
        api.compress(job.source / "a.npy", alone, ratio=16, model=job.model, effort=effort)
        assert made[effort] == alone.read_bytes()
    assert made["fast"] != made["normal"]


@pytest.mark.parametrize("other", [{"effort": "fast"}, {"metadata": Metadata.NONE}])
def test_other_settings_replace_nothing_unless_allowed(
    job: Job, faked: list[str], other: dict[str, Any]
) -> None:
    batches.run(job, quiet)
    asked = replace(job, **other)
    before = {name: (job.output / name).read_bytes() for name in files(job)}
    with pytest.raises(InputError, match="another request"):
        batches.run(asked, quiet)
    assert {name: (job.output / name).read_bytes() for name in files(job)} == before
    asked = replace(asked, overwrite=True)
    faked.clear()
    assert batches.run(asked, quiet).before == 0
    assert faked == ["a", "b", "sub/broken", "sub/c"]
    assert batches.run(asked, quiet).before == 3


def test_settings_reach_a_node_that_does_not_see_the_scan(job: Job) -> None:
    (scan,) = (scan for scan in io.discover(job.source).scans if scan.name == "sub/c")
    case = Case(scan, job.source, "state")
    contents = [path.read_bytes() for path in scan.files]
    request = Request(job.target, "auto", "fast", Metadata.NONE)
    worker = Compressor(request, job.model, "cpu")
    remote = RemoteWorker(pickle.loads(pickle.dumps(worker)))
    assert remote.start() is None
    sent = remote.run(case, contents)
    assert sent is not None
    assert sent.data is not None
    assert text_of(sent.data) == b""
    volume = case.read(Metadata.NONE)
    alone = best_encoding(volume, job.target, job.model, "cpu", Progress(), effort="fast")
    assert sent.data == alone.encoding.data


def test_overwriting_is_resumed_too(job: Job, faked: list[str]) -> None:
    batches.run(job, quiet)
    other = replace(job, target=Target(ratio=12))
    with pytest.raises(InputError, match="another request"):
        batches.run(other, quiet)
    with pytest.raises(InputError, match="another request"):
        batches.forecast(other)
    other = replace(other, overwrite=True)
    assert batches.run(other, quiet).done == 3
    faked.clear()
    assert batches.run(other, quiet).before == 3
    assert faked == ["sub/broken"]


def test_no_space_ends_the_run(job: Job, monkeypatch: pytest.MonkeyPatch, faked: list[str]) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"out: nothing can be written .*No space.* 4 are left"):
        batches.run(job, quiet)
    monkeypatch.undo()
    assert [name for name in files(job) if name.endswith(".dstd")] == []


def test_an_output_that_cannot_be_written_is_one_bad_case(job: Job, faked: list[str]) -> None:
    (job.output / "a.dstd").mkdir(parents=True)
    (job.output / "sub").write_text("a file where a folder belongs")
    summary = batches.run(replace(job, overwrite=True), quiet)
    assert (summary.done, sorted(summary.failures)) == (
        1,
        ["a.npy", "sub/broken.nii.gz", "sub/c.nii.gz"],
    )
    assert "cannot be written" in summary.failures["a.npy"]


def test_the_ledger_is_told_before_and_after(
    job: Job, monkeypatch: pytest.MonkeyPatch, faked: list[str]
) -> None:
    append = Ledger.append
    there = []

    def checked(ledger: Ledger, row: Mapping[str, Any]) -> Any:
        there.append((row["status"], (job.output / f"{row['name']}.dstd").is_file()))
        return append(ledger, row)

    monkeypatch.setattr(Ledger, "append", checked)
    batches.run(job, quiet)
    one = [("writing", False), ("done", True)]
    assert there == [*one, *one, ("failed", False), *one]


def test_it_says_what_is_under_way_and_how_long_the_rest_takes(job: Job, faked: list[str]) -> None:
    (job.source / "notes.txt").touch()
    said: list[tuple[str, float]] = []
    batches.run(job, lambda text, share: said.append((text, share)))
    texts = [text for text, _ in said]
    assert texts[:2] == ["passing over 1 .txt files", "0 scans are done already, 4 to do"]
    assert texts[2] == "0 of 4, 0 failed: a.npy"
    assert [text.rpartition(": ")[2] for text in texts[3:6]] == [
        "b.npy",
        "sub/broken.nii.gz",
        "sub/c.nii.gz",
    ]
    assert all(" left: " in text for text in texts[3:6])
    assert texts[6] == "4 of 4, 1 failed"
    assert said[6][1] == said[-1][1] == 1
    assert all(text.startswith("pictures for report.html") for text in texts[7:])
    assert [share for _, share in said] == sorted(share for _, share in said)


@pytest.mark.usefixtures("only_tiny")
@pytest.mark.parametrize("model", ["auto", "tiny"])
def test_a_bundle_is_loaded_once(job: Job, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    load = Codec.load
    loaded = []

    def counted(name: str, *, device: str) -> Codec:
        loaded.append(name)
        return load(name, device=device)

    monkeypatch.setattr(Codec, "load", counted)
    assert batches.run(replace(job, model=model), quiet).done == 3
    assert len(loaded) == 1


def test_leftovers_of_a_killed_run_go(job: Job, faked: list[str]) -> None:
    working = job.output / ".deepstd-batch"
    working.mkdir(parents=True)
    (working / "half.dstd").write_bytes(b"half")
    batches.run(job, quiet)
    assert not working.exists()


def test_nothing_found(job: Job, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing", job.source / "a.npy"):
        with pytest.raises(InputError):
            batches.run(replace(job, source=source), quiet)
    with pytest.raises(BundleNotFoundError):
        batches.run(replace(job, model="huge"), quiet)
    assert not job.output.exists()


def test_a_forecast_writes_nothing(job: Job, tmp_path: Path) -> None:
    told = batches.forecast(job)
    assert not job.output.exists()
    assert (told.found, told.done, told.to_do, told.estimated, told.seconds) == (4, 0, 4, 0, None)
    assert list(told.unreadable) == ["sub/broken.nii.gz"]
    assert told.stored_bytes == 2 * 18 * 16 * 26 + 18 * 17 * 12
    before = batches.run(job, quiet).totals[-1]
    assert told.file_bytes is not None
    assert 0.99 * told.file_bytes <= before.file_bytes <= told.file_bytes
    names = files(job)
    again = batches.forecast(job)
    assert files(job) == names
    assert (again.done, again.to_do, again.file_bytes) == (3, 1, 0)
    assert again.seconds == 0


def test_a_forecast_of_time_and_of_what_is_in_the_way(
    job: Job, phantom: Callable[..., np.ndarray], faked: list[str]
) -> None:
    batches.run(job, quiet)
    np.save(job.source / "new.npy", phantom((18, 16, 12)))
    (job.output / "new2.dstd").write_bytes(b"precious")
    np.save(job.source / "new2.npy", phantom((18, 16, 12)))
    told = batches.forecast(job)
    assert told.seconds is not None
    assert told.seconds > 0
    assert list(told.refused) == ["new2.npy"]
