"""Temporary files and folders beside an output, removed even after their process was killed.

    temporary_beside ─ stale ones removed ─▶ .deepstd-HOST-RANDOM.nii.gz, locked while it is in use
                                              └ the block ends, or the program ─▶ removed

A lock ends with its process, however that ends. A file of such a name that can be locked was
therefore left by a dead process. Locks may not reach other machines, as on some network disks. A
file of another machine is therefore only removed a day after it was written.
"""

from __future__ import annotations

import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: no file is locked, and none counts as stale
    fcntl = None

_HOST = f"{zlib.crc32(os.uname().nodename.encode()):08x}" if hasattr(os, "uname") else "0" * 8
_STALE = re.compile(r"\.deepstd-([0-9a-f]{8})-[0-9a-f]{12}(?:\..*)?")
_SUFFIX_CHARACTERS = 32  # of the target's suffixes, against names that are too long
_DAY = 86400.0  # seconds
_NO_LOCK = -1
_in_use: set[Path] = set()


@contextmanager
def temporary_beside(target: Path, *, folder: bool) -> Iterator[Path]:
    """Yield an empty file or folder beside a target, with the suffixes of the target.

    The file or folder is removed at the end, if it still exists.

    Raises:
        FileNotFoundError: the folder of the target does not exist.
        OSError: the folder cannot be written to.
    """
    remove_stale(target.parent)
    suffix = "" if folder else "".join(target.suffixes)[-_SUFFIX_CHARACTERS:]
    path, lock = target, None
    try:
        # Another process may remove the file as stale before it is locked.
        while lock is None or not path.exists():
            lock = _unlocked(lock)
            path = target.with_name(f".deepstd-{_HOST}-{os.urandom(6).hex()}{suffix}")
            _in_use.add(path)
            if folder:
                path.mkdir()
            else:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            lock = _locked(path)
        yield path
    finally:
        if path != target:
            _remove(path)
            _in_use.discard(path)
        _unlocked(lock)


def remove_all() -> None:
    """Remove all temporary files and folders of this process, which is about to end."""
    for path in list(_in_use):
        with suppress(OSError):
            _remove(path)


def remove_stale(folder: Path) -> None:
    """Remove temporary files and folders of dead processes from a folder."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _STALE.fullmatch(entry.name)
            if found is None:
                continue
            with suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                plain = stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)
                if plain and (found[1] == _HOST or time.time() - about.st_mtime > _DAY):
                    _remove_if_stale(Path(entry.path))


def emptied(folder: Path, ours: Callable[[str], bool]) -> None:
    """Delete the files of a folder that ``ours`` accepts, and the folder if it is then empty."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if ours(entry.name) and not entry.is_dir():
            entry.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        folder.rmdir()


def _locked(path: Path) -> int | None:
    """Lock a file or folder and return a descriptor.

    `_NO_LOCK` means that there are no locks, None that another process has the lock.
    """
    if fcntl is None:
        return _NO_LOCK
    lock = _NO_LOCK
    try:
        lock = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_WRONLY) | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if lock != _NO_LOCK:
            os.close(lock)
        taken = isinstance(error, BlockingIOError | FileNotFoundError)
        return None if taken else _NO_LOCK  # a file system without locks: nothing counts as stale
    return lock


def _unlocked(lock: int | None) -> None:
    if lock is not None and lock != _NO_LOCK:
        os.close(lock)


def _remove_if_stale(path: Path) -> None:
    lock = _locked(path)
    if lock is None or lock == _NO_LOCK:
        return
    try:
        if os.path.samestat(os.fstat(lock), os.stat(path, follow_symlinks=False)):
            _remove(path)
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        emptied(path, lambda name: True)
    else:
        path.unlink(missing_ok=True)
