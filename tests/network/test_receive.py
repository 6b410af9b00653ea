"""The command `receive`, as a process of its own: killed, started again, ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import sent, series, taking, voxels_of

import deepstd
from deepstd.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "deepstd")
SECONDS = 120


def until(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + SECONDS
    while not there():
        assert process.poll() is None, f"it ended by itself with {process.returncode}"
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.05)


@contextmanager
def receiving(
    folder: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [*COMMAND, "receive", "spool", "archive", "--port", "0", *options]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "listens on 127.0.0.1:" in line, (folder / "log").read_text()
            yield process, int(line.rpartition(":")[2])
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def outputs(folder: Path) -> list[Path]:
    return sorted((folder / "archive").glob("*.dstd"))


def depths(folder: Path) -> list[int]:
    """Number of slices of each output; a series may be compressed before its last slices come."""
    return [deepstd.info(path).shape[2] for path in outputs(folder)]


def test_a_killed_receiver_goes_on_where_it_was(tmp_path: Path) -> None:
    one, other = series(6, 1), series(6, 2)
    with receiving(tmp_path, "--lossless", "--quiet", "600s") as (process, port):
        assert set(sent(port, one + other[:3])) == {0}
        process.kill()
    assert outputs(tmp_path) == []
    quick = ("--lossless", "--quiet", "1s")
    with receiving(tmp_path, *quick) as (process, port):
        assert set(sent(port, other)) == {0}  # three of them again: the sender cannot know
        until(lambda: depths(tmp_path) == [6, 6], process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 130
    scans = [deepstd.decompress(path).voxels for path in outputs(tmp_path)]
    for whole in (voxels_of(one), voxels_of(other)):
        assert sum(np.array_equal(scan, whole) for scan in scans) == 1
    assert len(list((tmp_path / "spool" / "series").glob("*/*.dcm"))) == 12
    assert not list((tmp_path / "spool" / "incoming").iterdir())
    assert not list((tmp_path / "archive").glob(".deepstd*"))
    ledger = (tmp_path / "archive" / "ledger.jsonl").read_text()
    rows = [json.loads(line) for line in ledger.splitlines()]
    assert {row["status"] for row in rows} <= {"writing", "done"}  # none failed


def test_outputs_and_spool_may_not_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for spool, output in (("a", "a"), ("a", "a/b"), ("a/b", "a")):
        folders = [str(tmp_path / spool), str(tmp_path / output)]
        assert main(["receive", *folders, "--lossless"]) == 1
        assert "each other's folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--lossless", "--ratio", "8"],
        ["--lossless", "--ae-title", "A" * 17],
        ["--lossless", "--keep", "NoSuchTag"],
        ["--lossless", "--keep-metadata", "--safe-private"],
        ["--lossless", "--quiet", "soon"],
    ],
)
def test_wrong_usage(tmp_path: Path, options: list[str]) -> None:
    assert main(["receive", str(tmp_path / "s"), str(tmp_path / "o"), *options]) == 2
    assert not list(tmp_path.iterdir())


def test_the_examples_of_services_have_options_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = ROOT / "docs" / "examples"
    lines = [line for path in folder.iterdir() for line in path.read_text().splitlines()]
    commands = [line.partition("/bin/deepstd ")[2] for line in lines if "/bin/deepstd " in line]
    assert len(commands) == 4
    for command in commands:
        words = shlex.split(command.partition(">")[0])
        assert main([words[0], "--help"]) == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words if word.startswith("--"))


def commands_of_the_page() -> list[str]:
    """The five commands of the archive in docs/network.md."""
    page = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    block = page.partition("## An archive in five commands")[2].partition("```sh\n")[2]
    return block.partition("```")[0].strip().splitlines()


def test_an_archive_in_five_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands as the page has them, but for ports and waiting."""
    lines = commands_of_the_page()
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    words = [shlex.split(line, comments=True) for line in lines]
    assert words[0][:2] == ["deepstd", "receive"]
    options = words[0][4:]
    assert options[options.index("--quiet") + 1]
    options[options.index("--quiet") + 1] = "1s"
    parts = enumerate(("chest", "liver", "brain"), 1)
    wholes = [series(4, number, SeriesDescription=part) for number, part in parts]
    with receiving(tmp_path, *options) as (process, port):
        for whole in wholes:
            assert set(sent(port, whole)) == {0}
        until(lambda: len(outputs(tmp_path)) == 3, process)
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    with taking() as (port, taken):
        for one in words[1:]:
            assert one[0] == "deepstd"
            told = [
                word.replace("PACS@pacs.example:104", f"TAKER@127.0.0.1:{port}") for word in one
            ]
            for name in [word for word in told if "*" in word]:
                place = told.index(name)
                found = sorted(str(path) for path in Path().glob(name))
                assert found
                told[place : place + 1] = found
            assert main(told[1:]) == 0, capsys.readouterr().err
    assert len(taken) == 12
    for number, whole in enumerate(wholes, 1):
        back = [one for one in taken if one.SeriesNumber == number]
        assert np.array_equal(voxels_of(back), voxels_of(whole))
        assert {str(one.PatientName) for one in back} == {"Doe^Jane"}
    assert list(tmp_path.glob("restored*/*.dcm"))
