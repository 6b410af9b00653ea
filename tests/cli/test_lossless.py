"""``--lossless`` on the command line: what it says, what it refuses, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd.cli.app import main

Phantom = Callable[..., np.ndarray]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def scan(tmp_path: Path, phantom: Phantom) -> Path:
    np.save(tmp_path / "scan.npy", phantom((18, 16, 12)))
    return tmp_path / "scan.npy"


@pytest.fixture
def packed(scan: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run("compress", scan, "--lossless") == 0
    capsys.readouterr()
    return scan.with_suffix(".dstd")


def test_there_and_back(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", scan, "--lossless") == 0
    told = capsys.readouterr()
    assert "none; lossless: every voxel verified" in told.out
    assert "ratio" in told.out
    assert "bpv" in told.out
    packed, back = scan.with_suffix(".dstd"), scan.with_name("back.npy")
    assert run("decompress", packed, "-o", back) == 0
    assert back.read_bytes() == scan.read_bytes()
    assert run("decompress", packed, "-o", scan.with_name("small.npy"), "--level", 1) == 0
    np.testing.assert_array_equal(
        np.load(scan.with_name("small.npy")), np.load(scan)[::2, ::2, ::2]
    )


def test_json(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", scan, "--lossless", "--json") == 0
    report = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (report["lossless"], report["max_error"], report["psnr"]) == (True, 0, None)
    assert run("info", scan.with_suffix(".dstd"), "--json") == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (found["lossless"], found["quality"]["psnr"]) == (True, None)
    assert found["file_bytes"] == report["file_bytes"]


def test_info_and_verify(packed: Path, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", packed) == 0
    told = capsys.readouterr().out
    assert "none: lossless" in told
    assert "EXAC" in told
    assert run("info", packed.parent) == 0
    assert "dstd of NumPy" in capsys.readouterr().out
    assert run("verify", packed) == 0
    assert "lossless, and the hash of all voxels is right" in capsys.readouterr().out
    assert run("verify", packed, "--against", scan) == 0
    np.save(scan, np.load(scan) + (np.arange(12) == 7))
    assert run("verify", packed, "--against", scan) == 1
    assert "another scan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ratio", "4"), "--lossless and a size"),
        (("--bpv", "1"), "--lossless and a size"),
        (("--max-bytes", "4kB"), "--lossless and a size"),
        (("--model", "generic"), "leave out 'generic'"),
        (("--effort", "best"), "leave out 'best'"),
    ],
)
@pytest.mark.parametrize("command", ["compress", "batch"])
def test_what_excludes_each_other(
    scan: Path, command: str, options: tuple[str, str], message: str
) -> None:
    places = [scan] if command == "compress" else [scan.parent, scan.parent / "out"]
    code = (
        "import sys; sys.modules['torch'] = None; from deepstd.cli.app import main;"
        "sys.exit(main(sys.argv[1:]))"
    )
    command_line = (sys.executable, "-c", code, command, *places, "--lossless", *options)
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert [path.name for path in scan.parent.iterdir()] == ["scan.npy"]


def test_without_a_size_lossless_is_named(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", scan) == 2
    assert "--lossless" in capsys.readouterr().err


DAMAGES = ("cut", "flipped", "short", "longer")


@pytest.mark.parametrize(
    ("command", "damage"),
    [
        *((command, damage) for command in ("info", "verify", "decompress") for damage in DAMAGES),
        *(("preview", damage) for damage in ("flipped", "short")),  # the rest is not read
    ],
)
def test_a_damaged_file(
    packed: Path, capsys: pytest.CaptureFixture[str], command: str, damage: str
) -> None:
    data = packed.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    changed = {"cut": data[:-9], "flipped": flipped, "short": data[:middle], "longer": data + b"a"}
    packed.write_bytes(changed[damage])
    output = packed.parent / "back.npy"
    words = {
        "info": ("info", packed),
        "verify": ("verify", packed),
        "decompress": ("decompress", packed, "-o", output),
        "preview": ("decompress", packed, "-o", output, "--level", 1),
    }
    assert run(*words[command]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert packed.name in told.err
    assert not output.exists()


def test_streams(scan: Path) -> None:
    program = (sys.executable, "-m", "deepstd")
    packed = subprocess.run(
        (*program, "compress", scan, "--lossless", "-o", "-"), capture_output=True, check=True
    ).stdout
    back = scan.with_name("back.npy")
    command = (*program, "decompress", "-", "-o", back)
    subprocess.run(command, input=packed, capture_output=True, check=True)
    assert back.read_bytes() == scan.read_bytes()


def test_batch(scan: Path, capsys: pytest.CaptureFixture[str], phantom: Phantom) -> None:
    folder, output = scan.parent / "scans", scan.parent / "out"
    folder.mkdir()
    scan.rename(folder / "a.npy")
    np.save(folder / "flat.npy", np.zeros((9, 8, 7), np.uint8))
    noise = np.random.default_rng(0).integers(0, 1 << 16, (20, 20, 20), dtype=np.uint16)
    noise[0] = phantom((20, 20))
    np.save(folder / "noise.npy", noise)
    assert run("batch", folder, output, "--lossless", "--dry-run") == 0
    assert "not known before" in capsys.readouterr().out
    assert run("batch", folder, output, "--lossless") == 0
    told = capsys.readouterr().out
    assert "exact" in told
    assert "3 of 3 scans done; 0 failed" in told
    assert run("batch", folder, output, "--lossless", "--json") == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (found["before"], found["worst"]) == (3, [])
    assert found["totals"][-1]["worst_ssim"] == 1
    for name in ("a", "flat", "noise"):
        assert run("verify", output / f"{name}.dstd", "--against", folder / f"{name}.npy") == 0
    assert run("batch", folder, output, "--ratio", 8) == 1
    assert "another request (lossless True" in capsys.readouterr().err
