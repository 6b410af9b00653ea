"""Commands that are interrupted in the middle of their work, and again while they clean up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import deepstd

PROGRAM = "from deepstd.cli.app import main; import sys; sys.exit(main())"
SECONDS = 60


@pytest.fixture
def here(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> Path:
    """A folder with a scan that takes long to compress, and a folder of such scans."""
    (tmp_path / "scans").mkdir()
    np.save(tmp_path / "scan.npy", phantom((96, 96, 96)))
    for name in "ab":
        os.link(tmp_path / "scan.npy", tmp_path / "scans" / f"{name}.npy")
    return tmp_path


def interrupted(
    folder: Path, *arguments: str, begun: Callable[[], bool], signals: tuple[signal.Signals, ...]
) -> str:
    """What a command tells that gets signals one after another once it has begun its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + SECONDS
    while not begun() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None
    for number in signals:
        process.send_signal(number)
        time.sleep(0.03)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert b"interrupted" in told
    assert b"Traceback" not in told
    return told.decode()


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT, signal.SIGTERM)]
)
def test_compress_leaves_nothing(here: Path, signals: tuple[signal.Signals, ...]) -> None:
    interrupted(
        here,
        *("compress", "scan.npy", "--ratio", "16", "-m", "generic"),
        begun=lambda: bool(hidden(here)),
        signals=signals,
    )
    assert sorted(path.name for path in here.iterdir()) == ["scan.npy", "scans"]


def test_decompress_leaves_nothing(
    only_tiny: Path, tmp_path: Path, phantom: Callable[..., np.ndarray]
) -> None:
    # So large that restoring it takes its time.
    folder, scan = tmp_path, phantom((240, 240, 140))
    deepstd.compress(scan, folder / "scan.dstd", ratio=40, model=str(only_tiny), effort="fast")
    before = sorted(folder.iterdir())
    interrupted(
        folder,
        *("decompress", "scan.dstd", "-o", "back.npy", "-m", str(only_tiny)),
        begun=lambda: bool(hidden(folder)),
        signals=(signal.SIGINT,) * 3,
    )
    assert sorted(folder.iterdir()) == before


def test_batch_leaves_its_ledger(here: Path) -> None:
    told = interrupted(
        here,
        *("batch", "scans", "out", "--ratio", "16", "-m", "generic", "-j", "2"),
        begun=lambda: bool(hidden(here)),
        signals=(signal.SIGINT,) * 3,
    )
    assert "2" in told
    assert [path.name for path in (here / "out").iterdir()] == ["ledger.jsonl"]


def test_train_leaves_its_checkpoint(here: Path) -> None:
    cache = here / "new.checkpoint" / "cache" / "cache.json"
    interrupted(
        here,
        *("train", "scans", "-o", "new", "--max-time", "10m"),
        begun=lambda: cache.is_file(),
        signals=(signal.SIGINT,) * 3,
    )
    assert hidden(here) == []
    assert not (here / "new").exists()
