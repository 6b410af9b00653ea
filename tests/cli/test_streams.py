"""The command line between pipes and URLs: what goes to which stream, and when that fails."""

from __future__ import annotations

import io as streams
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd.cli.app import main

pytestmark = pytest.mark.usefixtures("only_tiny")
NO_SPACE = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def deepstd(*arguments: object, redirect: str = "", data: bytes = b"") -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr of the program in a shell of its own."""
    program = [sys.executable, "-m", "deepstd", *map(str, arguments)]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirect}', "sh", *program],
        input=data,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """stdin(data): what the next command reads from standard input."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", streams.TextIOWrapper(streams.BytesIO(data)))

    return give


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_compress_to_stdout(
    scan: Path, packed: Path, capfdbinary: pytest.CaptureFixture[bytes], options: tuple[str, ...]
) -> None:
    assert run("compress", scan, "--ratio", 16, "-o", "-", *options) == 0
    told = capfdbinary.readouterr()
    assert told.out == packed.read_bytes()
    assert b"tiny 1" in told.err
    assert sorted(path.name for path in scan.parent.iterdir()) == ["packed.dstd", "scan.npy"]


def test_from_stdin(
    scan: Path,
    packed: Path,
    stdin: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments, words in (
        (["info", "-"], "18 x 16 x 12, int16"),
        (["verify", "-", "--against", scan], "standard input: whole"),
        (["decompress", "-", "-o", scan.parent / "back.npy"], "standard input -> "),
    ):
        stdin(packed.read_bytes())
        assert run(*arguments) == 0
        assert words in capsys.readouterr().out
    assert np.load(scan.parent / "back.npy").shape == (18, 16, 12)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "standard input"), (b"GIF89a", "not a .dstd file"), (None, "standard input")],
)
def test_bad_stdin(
    packed: Path,
    stdin: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
    data: bytes | None,
    words: str,
) -> None:
    stdin(packed.read_bytes()[:-5] if data is None else data)
    assert run("info", "-") == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert told.err.count("\n") == 1


def test_a_scan_from_stdin(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", "-", "--ratio", 16, "-o", scan.parent / "a.dstd") == 1
    assert "Save it to a file" in capsys.readouterr().err
    code, _, told = deepstd(
        "compress", "/dev/stdin", "--ratio", 16, "-o", scan.parent / "a.dstd", data=b"x"
    )
    assert (code, "not an ordinary file" in told) == (1, True)
    assert not (scan.parent / "a.dstd").exists()


@NO_SPACE
def test_stdout_is_full(packed: Path, scan: Path) -> None:
    for arguments in (["info", packed], ["info", packed, "--json"], ["--version"]):
        code, _, told = deepstd(*arguments, redirect="> /dev/full")
        assert code == 1
        assert told.startswith("error: ")
        assert "No space left" in told
        assert told.count("\n") == 1
    code, _, told = deepstd(
        "compress", scan, "--ratio", 4, "-m", "generic", "-o", "-", redirect="> /dev/full"
    )
    assert code == 1
    assert "error: standard output: cannot be written (No space left" in told
    assert "Traceback" not in told


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_stdout_or_stdin_is_closed(packed: Path) -> None:
    code, _, told = deepstd("info", packed, redirect=">&-")
    assert (code, told.count("\n")) == (1, 1)
    assert "standard output is closed" in told
    code, _, told = deepstd("info", "-", redirect="<&-")
    assert (code, told) == (1, "error: standard input is closed. Give a file\n")


def test_urls(
    scan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec: pip install 'deepstd[remote]'")
    monkeypatch.chdir(scan.parent)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/cli/scan.npy", scan.read_bytes())
    url = "memory://jane:hunter2@/cli/scan.npy?X-Amz-Signature=c0ffee"
    memory.pipe_file(url.partition("://")[2], scan.read_bytes())
    assert run("compress", url, "--ratio", 16) == 0
    assert (scan.parent / "scan.dstd").is_file()
    assert run("compress", url, "--ratio", 16, "-o", "memory://cli/a.dstd") == 0
    assert run("info", "memory://cli/a.dstd") == 0
    assert run("verify", "memory://cli/a.dstd", "--against", url) == 0
    assert run("decompress", "memory://cli/a.dstd", "-o", "memory://cli/back.npy") == 0
    assert run("decompress", "memory://cli/a.dstd", "-o", "memory://cli/back.npy") == 1
    assert run("info", url.replace("scan", "none")) == 1
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert "jane" not in text
        assert "hunter2" not in text
        assert "c0ffee" not in text
    assert memory.size("/cli/back.npy") == scan.stat().st_size


def test_names_of_outputs(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    folder = scan.parent / "slices.v1"
    folder.mkdir()
    for number, values in enumerate(np.load(scan).astype("u1")):
        Image.fromarray(values).save(folder / f"{number}.png")
    assert run("compress", folder, "--ratio", 10) == 0
    assert (scan.parent / "slices.v1.dstd").is_file()
    monkeypatch.chdir(folder)
    assert run("compress", ".", "--ratio", 10, "--overwrite") == 0
    assert run("decompress", scan.parent / "slices.v1.dstd", "-o", f"{scan.parent}/back/") == 0
    assert len(list((scan.parent / "back").iterdir())) == 18


def test_metadata_options_exclude_each_other(scan: Path) -> None:
    options = ["--keep-metadata", "--drop-metadata"]
    assert run("compress", scan, "--ratio", 16, *options) == 2
