"""Locks that keep two runs from writing the same files.

open file ─ lock ─▶ locked until it is closed, or an error that says what to do

The system gives a lock back when its process ends, however it ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from deepstd.errors import InputError


def lock(stream: BinaryIO, path: Path, *, taken: str, elsewhere: str) -> None:
    """Lock an open file for this process alone.

    Args:
        stream: the open file.
        path: file or folder that messages name.
        taken: what to say where another process has the lock.
        elsewhere: what to say where the file system has no locks.

    Raises:
        InputError: another process has the lock, or the file system has none.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: the user must avoid two runs at once
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{path}: {taken}") from error
    except OSError as error:
        raise InputError(
            f"{path}: the file system does not allow to lock it ({error.strerror}). {elsewhere}"
        ) from error
