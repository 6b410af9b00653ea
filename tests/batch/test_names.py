"""Names of outputs: they tell as much as the metadata that is kept, or nothing."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_runs import files_in, quiet, rows_in

from deepstd.batch import pseudonyms
from deepstd.batch import run as batches
from deepstd.batch.names import output_names
from deepstd.batch.past import Past
from deepstd.batch.pseudonyms import Pseudonyms
from deepstd.batch.run import Job
from deepstd.batch.shard import Shard
from deepstd.cli import batch_words
from deepstd.errors import InputError
from deepstd.io import Metadata, ScanSource

NAMES = ("Doe_Jane", "19610203")


def scan(name: str, title: str = "") -> ScanSource:
    return ScanSource((Path(name),), None, name, 1, title=title)


SCANS = [scan("x/1a2b3c4d", "20260102_T1"), scan("5e6f7081", "T2"), scan("plain")]


def test_titles_are_told_only_where_everything_is() -> None:
    for metadata in (Metadata.NONE, Metadata.DEIDENTIFIED):
        assert set(output_names(SCANS, metadata, {}, None).values()) == {s.name for s in SCANS}
    assert output_names(SCANS, Metadata.ALL, {}, None) == {
        "x/1a2b3c4d": "x/20260102_T1_1a2b3c4d",
        "5e6f7081": "T2_5e6f7081",
        "plain": "plain",
    }


def test_what_was_done_under_its_own_name_keeps_it() -> None:
    named = output_names(SCANS, Metadata.ALL, {"5e6f7081": Past()}, None)
    assert named["5e6f7081"] == "5e6f7081"


def test_no_two_outputs_have_one_name() -> None:
    odd = [scan("z", "x_y"), scan("y_z", "x"), scan("a", "b"), scan("b_a")]
    named = output_names(odd, Metadata.ALL, {}, None)
    assert len(set(named.values())) == len(odd)


def test_pseudonyms_need_the_key() -> None:
    one, other = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    assert one.of("a") == one.of("a") != other.of("a")
    assert one.of("a") != one.of("b")
    assert one.of("a") != one.of("a", "folder").replace("folder", "scan")


@pytest.fixture
def private(job: Job, tmp_path: Path) -> Job:
    """Scans and folders that are named after a patient, and one that cannot be read."""
    (job.source / "a.npy").rename(job.source / f"{NAMES[0]}.npy")
    (job.source / "sub").rename(job.source / NAMES[1])
    (job.source / NAMES[1] / f"{NAMES[0]}.nii").write_bytes(b"no scan")
    (job.source / f"{NAMES[0]}.txt").write_bytes(b"")
    return replace(job, key_file=tmp_path / "keys" / "names.jsonl")


@pytest.fixture
def key_file(private: Job) -> Path:
    assert private.key_file is not None
    private.key_file.parent.mkdir()
    return private.key_file


def told_by(job: Job) -> str:
    """All that a run says and leaves, but for the key file."""
    said: list[str] = []
    summary = batches.run(job, lambda text, share: said.append(text))
    said += [json.dumps(summary.to_dict()), batch_words.summary(summary)]
    said += [f"{name} {data!r}" for name, data in files_in(job.output).items()]
    forecast = batches.forecast(job)
    said += [json.dumps(forecast.to_dict()), batch_words.forecast(forecast)]
    return "\n".join(said)


def test_nothing_but_the_key_file_tells_the_names(
    private: Job, key_file: Path, faked: list[str]
) -> None:
    for _ in range(2):
        told = told_by(private)
        assert not [name for name in (*NAMES, "sub") if name in told]
        assert not re.search(r"(?<![0-9a-f])[bcd]\.npy", told)  # suffixes name nobody
    names = [row["name"] for row in rows_in(private.output, "done")]
    assert len(names) == len(set(names)) == 4
    assert all(name.startswith("scan-") for name in names)
    (failed,) = {row["error"] for row in rows_in(private.output, "failed")}
    assert "does not begin as a NIfTI file" in failed
    head, *lines = [json.loads(line) for line in key_file.read_text().splitlines()]
    assert head["kind"] == "deepstd names"
    known = {line["source"]: line["name"] for line in lines}
    assert set(known) == {NAMES[0], "b", "c", f"{NAMES[1]}/d", f"{NAMES[1]}/{NAMES[0]}"}
    assert (private.output / f"{known[NAMES[0]]}.dstd").is_file()
    assert lines[0]["first_file"].startswith(str(private.source))
    if os.name == "posix":
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert not pseudonyms.others_may_read(key_file)


def test_runs_with_one_key_file_go_on_and_parts_agree(
    private: Job, key_file: Path, faked: list[str]
) -> None:
    for index in (1, 2):
        batches.run(replace(private, shard=Shard(index, 2)), quiet)
    faked.clear()
    before = key_file.read_bytes()
    assert batches.run(private, quiet).before == 4
    assert len(faked) == 1  # the broken one
    assert key_file.read_bytes() == before
    np.save(private.source / "new.npy", np.load(private.source / "b.npy"))
    batches.run(private, quiet)
    assert key_file.read_bytes().startswith(before)
    assert len(key_file.read_bytes().splitlines()) == len(before.splitlines()) + 1


def test_a_dry_run_makes_no_key_file(private: Job, key_file: Path) -> None:
    told = batches.forecast(private)
    assert not key_file.exists()
    assert all(scan.name.startswith("scan-") for scan in told.scans)


def test_a_key_file_in_the_output_folder_is_refused(
    private: Job, faked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(private.output, target_is_directory=True)
    private.output.mkdir()
    for place in (private.output / "k", private.output / "x" / "k", tmp_path / "link" / "k"):
        job = replace(private, key_file=place)
        for attempt in (
            lambda job=job: batches.run(job, quiet),
            lambda job=job: batches.forecast(job),
        ):
            with pytest.raises(InputError, match="lies in the output folder"):
                attempt()
    assert files_in(private.output) == {}


@pytest.mark.parametrize(
    "content", [b"my notes\n", b'{"kind": "deepstd names"}\n', b'{"key": "00"}\n', b"[]\n"]
)
def test_a_file_that_is_no_key_file_stays(
    private: Job, key_file: Path, faked: list[str], content: bytes
) -> None:
    key_file.write_bytes(content)
    for attempt in (lambda: batches.run(private, quiet), lambda: batches.forecast(private)):
        with pytest.raises(InputError, match="is no key file"):
            attempt()
    assert key_file.read_bytes() == content
    assert faked == []


def test_a_link_or_a_missing_folder_for_a_key_file(
    private: Job, key_file: Path, faked: list[str], tmp_path: Path
) -> None:
    key_file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"):
        batches.run(private, quiet)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(InputError, match="cannot be written"):
        batches.run(replace(private, key_file=tmp_path / "no" / "k"), quiet)


def test_a_torn_line_of_a_key_file_does_no_harm(
    private: Job, key_file: Path, faked: list[str]
) -> None:
    batches.run(private, quiet)
    whole = key_file.read_bytes()
    key_file.write_bytes(whole[:-10])
    batches.run(private, quiet)
    head, *lines = key_file.read_bytes().splitlines()
    assert lines[-1] == whole.splitlines()[-1]
    assert head == whole.splitlines()[0]


def test_pseudonyms_and_names_do_not_lie_in_one_folder(
    private: Job, key_file: Path, faked: list[str], tmp_path: Path
) -> None:
    plain = replace(private, key_file=None)
    batches.run(private, quiet)
    for attempt in (batches.forecast, lambda job: batches.run(job, quiet)):
        with pytest.raises(InputError, match="made with --anonymous-names"):
            attempt(plain)
    other = tmp_path / "other"
    batches.run(replace(plain, output=other), quiet)
    for attempt in (batches.forecast, lambda job: batches.run(job, quiet)):
        with pytest.raises(InputError, match="names of their own"):
            attempt(replace(private, output=other))
