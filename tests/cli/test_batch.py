"""``batch`` as a user meets it: real processes, kills, exit codes, what it writes where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from batch_runs import PUBLISHED

import deepstd
from deepstd import api
from deepstd.batch import run as batches
from deepstd.batch.report import Summary
from deepstd.batch.run import Job
from deepstd.cli.app import main
from deepstd.io import Metadata


@pytest.fixture
def scans(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> Path:
    """Eight scans and a broken one."""
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    for number in range(8):
        name = f"{'sub/' if number % 2 else ''}scan{number}.npy"
        np.save(folder / name, phantom((40, 40, 30), seed=number))
    (folder / "sub" / "broken.nii.gz").write_bytes(b"not a scan")
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def started(*arguments: object) -> subprocess.Popen[str]:
    path = str(Path(deepstd.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "deepstd", "batch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def rows(output: Path) -> list[dict[str, Any]]:
    """The lines of scans that are over."""
    try:
        text = (output / "ledger.jsonl").read_text()
    except FileNotFoundError:
        return []
    found = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return [row for row in found if row["status"] != "writing"]


def wait_for_rows(output: Path, count: int, process: subprocess.Popen[str]) -> None:
    while len(rows(output)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def is_whole(path: Path) -> bool:
    return api.verify(path).stated is not None


@pytest.mark.slow
def test_killed_twice_and_resumed(
    scans: Path, output: Path, tiny_bundle: Path, only_tiny: Path
) -> None:
    arguments = (scans, output, "--ratio", 32, "-m", tiny_bundle, "-j", 2, "--effort", "fast")
    for count in (2, 5):
        process = started(*arguments)
        wait_for_rows(output, count, process)
        process.kill()
        process.communicate()  # returns when its children have closed the pipes too
        found = [path for path in output.rglob("*.dstd") if ".deepstd" not in str(path)]
        # The broken scan is tried by each of them, and has a row for every time.
        done = {row["name"] for row in rows(output) if row["status"] == "done"}
        assert len(done) >= count - 2
        assert len(found) >= len(done)
        assert all(is_whole(path) for path in found)
    process = started(*arguments)
    told, _ = process.communicate()
    assert process.returncode == 3, told
    assert "8 of 9 scans done" in told
    names = [f"sub/scan{n}" if n % 2 else f"scan{n}" for n in range(8)]
    done = [row for row in rows(output) if row["status"] == "done"]
    assert Counter(row["name"] for row in done) == {name: 1 for name in names}
    assert {row["name"] for row in rows(output) if row["status"] == "failed"} == {"sub/broken"}
    files = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert files == {f"{name}.dstd" for name in names} | {"ledger.jsonl", *PUBLISHED}
    assert all(is_whole(output / f"{name}.dstd") for name in names)
    assert [path for path in output.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_what_is_done(
    scans: Path, output: Path, tiny_bundle: Path, ending: signal.Signals
) -> None:
    process = started(scans, output, "--ratio", 32, "-m", tiny_bundle, "--json")
    wait_for_rows(output, 2, process)
    process.send_signal(ending)
    told, log = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in log
    summary = json.loads(told)
    assert not summary["finished"]
    assert 1 <= summary["done"] == len(list(output.rglob("*.dstd"))) < 8
    assert [path for path in output.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_what_it_says(
    scans: Path, output: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (scans, output, "--ratio", 32, "-m", tiny_bundle)
    (scans / "notes.txt").touch()
    assert run("batch", *arguments, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "9, 0 done already, 9 to do" in told
    assert "sub/scan3.npy      to do       96,128" in told
    assert "sub/broken.nii.gz  unreadable" in told
    assert "1 .txt files: notes.txt" in told
    assert "sub/broken.nii.gz: does not begin as a NIfTI" in told
    assert not output.exists()
    assert run("batch", *arguments, "-j", 2) == 3
    told = capsys.readouterr()
    assert "npy int16" in told.out
    assert "worst PSNR (dB)  worst SSIM" in told.out
    assert "worst scans" in told.out
    assert "1 .txt files: notes.txt" in told.out
    assert "pictures for report.html, 7 of 8" in told.err  # the last thing it does
    assert "8 of 9 scans done; 1 failed" in told.out
    assert "sub/broken.nii.gz: does not begin as a NIfTI" in told.out
    (scans / "sub" / "broken.nii.gz").unlink()
    assert run("batch", *arguments, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["found"], summary["done"], summary["before"]) == (8, 8, 8)
    assert [total["data"] for total in summary["totals"]] == ["npy int16", "all"]


@pytest.mark.slow
def test_all_failed(scans: Path, output: Path, tiny_bundle: Path) -> None:
    assert run("batch", scans / "sub", output, "--ratio", 1e9, "-m", tiny_bundle) == 1
    assert len(rows(output)) == 5


def test_what_stops_it_at_once(
    scans: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("batch", scans, output, "--ratio", 16, "--anonymous-names", output / "k") == 1
    assert "lies in the output folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run("batch", tmp_path / "empty", output, "--ratio", 16) == 1
    assert "no scan" in capsys.readouterr().err
    assert run("batch", scans, output, "--ratio", 16, "-m", "huge") == 1
    assert "huge" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--ratio", "16", "--bpv", "1"],
        ["--ratio", "16", "--shard", "3/2"],
        ["--ratio", "16", "--effort", "huge"],
        ["--ratio", "16", "--keep-metadata", "--drop-metadata"],
        ["--ratio", "16", "--keep-metadata", "--anonymous-names", "names.jsonl"],
    ],
)
def test_wrong_usage(scans: Path, output: Path, arguments: list[str]) -> None:
    assert run("batch", scans, output, *arguments) == 2
    assert run("batch", scans, output, "--ratio", "16", "-j", "0") == 2
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "effort", "metadata"),
    [
        ([], "normal", Metadata.DEIDENTIFIED),
        (["--effort", "best", "--keep-metadata"], "best", Metadata.ALL),
        (["--effort", "fast", "--drop-metadata"], "fast", Metadata.NONE),
    ],
)
def test_effort_and_metadata(
    scans: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    effort: str,
    metadata: Metadata,
) -> None:
    jobs: list[Job] = []

    def noted(job: Job, progress: object) -> Summary:
        jobs.append(job)
        return Summary(1, 1, 0, {}, [], True, 1.0, "ledger.jsonl")

    monkeypatch.setattr(batches, "run", noted)
    assert run("batch", scans, output, "--ratio", 16, *arguments) == 0
    assert [(job.effort, job.metadata) for job in jobs] == [(effort, metadata)]
    told = "holds all metadata, the patients' identities included" in capsys.readouterr().err
    assert told == (metadata is Metadata.ALL)


@pytest.mark.parametrize("drop", [False, True])
def test_anonymous_names(
    scans: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    drop: bool,
) -> None:
    jobs: list[Job] = []

    def noted(job: Job, progress: object) -> Summary:
        jobs.append(job)
        (tmp_path / "names.jsonl").touch(0o644)
        return Summary(1, 1, 0, {}, [], True, 1.0, "ledger.jsonl")

    monkeypatch.setattr(batches, "run", noted)
    arguments = [scans, output, "--ratio", 16, "--anonymous-names", tmp_path / "names.jsonl"]
    assert run("batch", *arguments, "--dry-run") == 0
    told = capsys.readouterr()
    assert "names.jsonl is not there yet" in told.err
    assert "scan3" not in told.out
    assert run("batch", *arguments, *(["--drop-metadata"] if drop else [])) == 0
    assert [job.key_file for job in jobs] == [tmp_path / "names.jsonl"]
    told = capsys.readouterr()
    assert "names are in" in told.err
    assert "chmod 600" in told.err
    assert ("NIfTI headers" in told.err) == (not drop)


@pytest.mark.slow
def test_what_is_dropped_is_in_no_file(
    scans: Path, output: Path, tiny_bundle: Path, phantom: Callable[..., np.ndarray]
) -> None:
    folder = scans.with_name("named")
    folder.mkdir()
    image = nibabel.Nifti1Image(phantom((18, 16, 12)), np.eye(4))
    image.header["descrip"] = b"Jane Doe"
    nibabel.save(image, folder / "named.nii")
    arguments = (folder, output, "--ratio", 16, "-m", tiny_bundle, "--effort", "fast")
    assert run("batch", *arguments, "--drop-metadata") == 0
    api.decompress(output / "named.dstd", output / "back.nii", model=str(tiny_bundle))
    assert b"Jane Doe" not in (output / "back.nii").read_bytes()
    assert run("batch", *arguments) == 1
    assert run("batch", *arguments, "--overwrite") == 0
    api.decompress(
        output / "named.dstd", output / "back.nii", model=str(tiny_bundle), overwrite=True
    )
    assert b"Jane Doe" in (output / "back.nii").read_bytes()


@pytest.mark.slow
def test_a_device_that_is_not_there(
    scans: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("batch", scans, output, "--ratio", 16, "-d", "abacus") == 1
    assert "abacus" in capsys.readouterr().err
    assert rows(output) == []


@pytest.mark.usefixtures("only_tiny")
def test_without_ray(
    scans: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run("batch", scans, output, "--ratio", 16, "--ray", "auto") == 1
    assert 'pip install "deepstd[ray]"' in capsys.readouterr().err
