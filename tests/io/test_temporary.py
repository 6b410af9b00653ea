"""Temporary files of killed processes are removed, those of living ones never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepstd.io import atomic_folder, atomic_path, temporary

pytestmark = pytest.mark.skipif(temporary.fcntl is None, reason="needs locks of files")
_WRITER = """
import sys, time
from pathlib import Path
from deepstd.io import atomic_folder, atomic_path
with atomic_path(sys.argv[1] + "/a.nii.gz") as one, atomic_folder(
    sys.argv[1] + "/b", ours=lambda name: True
) as other:
    one.write_bytes(b"half")
    (other / "slice_0001.png").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def hidden(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith(".deepstd"))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is writing a file and a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def test_only_what_a_dead_process_left_is_removed(
    tmp_path: Path, writer: subprocess.Popen[bytes]
) -> None:
    theirs = hidden(tmp_path)
    assert len(theirs) == 2
    with atomic_path(tmp_path / "c.npy"):
        pass
    assert hidden(tmp_path) == theirs
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    with atomic_path(tmp_path / "d.npy") as ours:
        assert hidden(tmp_path) == [ours]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npy", "d.npy"]


def test_temporaries_of_one_process_leave_each_other_alone(tmp_path: Path) -> None:
    with (
        atomic_path(tmp_path / "a.nii") as one,
        atomic_folder(tmp_path / "b", ours=lambda name: True) as other,
        atomic_path(tmp_path / "c.nii") as last,
    ):
        assert hidden(tmp_path) == sorted([one, other, last])


def test_names_that_only_look_like_temporaries_stay(tmp_path: Path) -> None:
    with temporary.temporary_beside(tmp_path / "a", folder=False) as path:
        pattern = path.name
    kept = [tmp_path / f"{pattern}x", tmp_path / ".deepstd-old-0123456789ab", tmp_path / ".deepstd"]
    for path in kept:
        path.write_bytes(b"theirs")
    (tmp_path / "target").write_bytes(b"theirs")
    link = tmp_path / pattern
    link.symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / f"{pattern}.fifo")
    temporary.remove_stale(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(kept) + 3
    assert (tmp_path / "target").read_bytes() == b"theirs"


def test_a_file_of_another_machine_stays_for_a_day(tmp_path: Path) -> None:
    theirs = tmp_path / ".deepstd-00000000-0123456789ab.nii"
    theirs.touch()
    temporary.remove_stale(tmp_path)
    assert theirs.exists()
    long_ago = time.time() - 2 * 86400
    os.utime(theirs, (long_ago, long_ago))
    temporary.remove_stale(tmp_path)
    assert not theirs.exists()


def test_all_of_this_process_are_removed_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a.nii"
    with (
        temporary.temporary_beside(target, folder=False) as file,
        temporary.temporary_beside(target, folder=True) as folder,
    ):
        (folder / "slice_0001.png").touch()
        assert hidden(tmp_path) == sorted([file, folder])
        temporary.remove_all()
        assert hidden(tmp_path) == []
