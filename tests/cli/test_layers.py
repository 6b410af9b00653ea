"""Qualities and exact parts on the command line: what is said, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd.cli.app import main

Phantom = Callable[..., np.ndarray]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def scan(only_tiny: Path, tmp_path: Path, phantom: Phantom) -> Path:
    np.save(tmp_path / "scan.npy", phantom((20, 18, 16)))
    return tmp_path / "scan.npy"


@pytest.fixture
def layered(scan: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    options = "--ratio", 12, "--effort", "fast", "--with-residual"
    assert run("compress", scan, *options) == 0
    told = capsys.readouterr().out
    assert "parts" in told
    assert "more to exact" in told
    return scan.with_suffix(".dstd")


def test_a_quality_is_told(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", scan, "--min-psnr", 31, "--effort", "fast", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["asked"]["measure"] == "psnr"
    assert told["asked"]["value"] == 31
    assert told["asked"]["reached"] >= 31
    assert told["asked"]["kept"] is True
    assert run("info", scan.with_suffix(".dstd")) == 0
    assert "PSNR at least 31 dB, reached 31." in capsys.readouterr().out
    assert run("info", scan.with_suffix(".dstd"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["asked"] == told["asked"]


def test_a_size_that_misses_is_refused(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", scan, "--ratio", 40, "--min-psnr", 60, "--effort", "fast") == 1
    assert "a PSNR of at least 60 dB was asked for" in capsys.readouterr().err
    assert not scan.with_suffix(".dstd").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lossless", "--min-psnr", 40), "--lossless and --min-psnr exclude each other"),
        (("--min-ssim", 0.9, "--mae", 4), "--min-ssim and --mae exclude each other"),
        (("--max-error", 8, "--mae", 4), "--max-error and --mae exclude each other"),
        (("--ratio", 4, "--bpv", 1, "--mae", 4), "exactly one of --ratio"),
        (("--lossless", "--with-residual"), "a lossless file needs no residual"),
        (("--min-ssim", 1.1), "1 at most"),
        (("--min-psnr", "nan"), "is not a number above zero"),
    ],
)
@pytest.mark.parametrize("command", ["compress", "batch"])
def test_what_excludes_each_other(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    options: tuple[object, ...],
    message: str,
) -> None:
    assert run(command, tmp_path / "not-there", *["out"] * (command == "batch"), *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_strip_and_complete(layered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = layered.parent
    lossy, part, back = (folder / name for name in ("lossy.dstd", "part", "back.dstd"))
    assert run("strip", layered, lossy, "--keep-residual", part) == 0
    assert f"exact part -> {part}" in capsys.readouterr().out
    assert run("complete", lossy, part, back) == 0
    assert back.read_bytes() == layered.read_bytes()
    assert run("complete", lossy, part, back) == 1
    assert run("verify", back, "--against", layered.with_suffix(".npy")) == 0
    assert "exact part" in capsys.readouterr().out
    assert run("info", part) == 4
    assert "is the exact part of a scan" in capsys.readouterr().err


def test_the_exact_scan_or_the_lossy_one(layered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, true = layered.parent / "back.npy", np.load(layered.with_suffix(".npy"))
    assert run("decompress", layered, "-o", output) == 0
    assert "every voxel is that of the original" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(output), true)
    assert run("decompress", layered, "-o", output, "--lossy", "--overwrite") == 0
    assert "original" not in capsys.readouterr().err
    assert not np.array_equal(np.load(output), true)


def test_a_damaged_exact_part_leaves_the_lossy_scan(
    layered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = layered.read_bytes()
    output, lossy = layered.parent / "back.npy", layered.parent / "lossy.npy"
    assert run("decompress", layered, "-o", lossy, "--lossy") == 0
    layered.write_bytes(data[:-40])
    capsys.readouterr()
    assert run("decompress", layered, "-o", output) == 4
    assert f"the lossy scan is in {output}" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(output), np.load(lossy))
    assert run("verify", layered) == 4
