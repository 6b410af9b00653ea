"""The record of every case: a file of JSON lines that survives a kill.

case ─ output about to be renamed ─▶ a line "writing"
     └ output renamed, or failed ─▶ a line "done", "failed" ─▶ OUT_DIR/ledger[-I-of-N].jsonl

A line is on the disk before the next step begins. A writer that is killed may leave an incomplete
last line; the next run ignores it and cuts it off. A file of that name that is no ledger is never
touched.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from deepstd.batch.locking import lock
from deepstd.batch.shard import Shard
from deepstd.errors import InputError

DONE, FAILED, WRITING = "done", "failed", "writing"
Row = dict[str, Any]

_NAME = re.compile(r"ledger(?:-[0-9]{1,6}-of-([0-9]{1,6}))?\.jsonl")
# First key of every line. It distinguishes an incomplete first line from a foreign file.
_MARK, _MARKED = "ledger", "deepstd batch"
_BEGINNING = json.dumps({_MARK: _MARKED}).encode().removesuffix(b"}")
_TAKEN = "another run is writing it. Wait for it, or divide the work with --shard"
_ELSEWHERE = "Two runs at once would do the work twice. Choose an output folder elsewhere"
# Windows has neither flag.
_NO_FOLLOWING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def path_of(folder: Path, shard: Shard) -> Path:
    """Return the path of the ledger of a part of a batch."""
    return folder / f"ledger{shard.label}.jsonl"


def ledgers_in(folder: Path) -> dict[Path, int]:
    """Find the ledgers in a folder, without links.

    Returns:
        Number of parts (shards) of each ledger's run, by the path of the ledger.
    """
    found = {}
    for path in sorted(folder.glob("ledger*.jsonl")):
        match = _NAME.fullmatch(path.name)
        if match is not None and path.is_file() and not path.is_symlink() and _is_ours(path):
            found[path] = int(match[1] or 1)
    return found


def rows_of(path: Path) -> list[Row]:
    """Read the complete lines of a ledger.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    found = (_row(line) for line in lines[:-1])
    return [row for row in found if row is not None]


def check(path: Path) -> None:
    """Check that a path is free or holds a ledger.

    Raises:
        InputError: the path is a link, or a file that is no ledger.
    """
    if path.is_symlink():
        raise _linked(path)
    if path.exists() and not (path.is_file() and _is_ours(path)):
        raise _not_ours(path)


class Ledger:
    """The ledger of one part (shard), locked by the run that writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Ledger:
        """Open and lock the file.

        Raises:
            InputError: another run is at work in the folder, the file is a link or no ledger, or
                it cannot be written.
        """
        self._stream = _opened(self.path)
        try:
            lock(self._stream, self.path, taken=_TAKEN, elsewhere=_ELSEWHERE)
            if not _is_ours(self.path):
                raise _not_ours(self.path)
            _check_others(self.path)
            _cut_torn_end(self._stream)
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    @property
    def is_in_place(self) -> bool:
        """True while the path still leads to the open file; False if its folder is gone."""
        if self._stream is None:
            return False
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._stream.fileno()))
        except OSError:
            return False

    def append(self, row: Mapping[str, Any]) -> Row:
        """Write a line with the current time, and wait until it is on the disk.

        Returns:
            The line as written; values that are not finite become None.
        """
        if self._stream is None:
            raise ValueError("the ledger is not open")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        stamped = {_MARK: _MARKED, **row, "time": now}
        finite = {key: _finite(value) for key, value in stamped.items()}
        line = json.dumps(finite, allow_nan=False) + "\n"
        self._stream.write(line.encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return finite


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or row.get("status") not in (DONE, FAILED, WRITING):
        return None
    texts = isinstance(row.get("name"), str) and isinstance(row.get("time"), str)
    return row if texts and isinstance(row.get("attempt"), int) else None


def _is_ours(path: Path) -> bool:
    """Return True for an empty file and for a ledger of this release or an earlier one."""
    try:
        with open(path, "rb") as stream:
            line = stream.readline()
    except OSError:
        return False
    if line.endswith(b"\n"):
        return _row(line) is not None
    return line.startswith(_BEGINNING) or _BEGINNING.startswith(line)


def _opened(path: Path) -> BinaryIO:
    if path.is_symlink():
        raise _linked(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _NO_FOLLOWING
    try:
        number = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _linked(path) from error
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise _not_ours(path)
    return os.fdopen(number, "a+b")


def _linked(path: Path) -> InputError:
    return InputError(
        f"{path}: is a link, which may lead to another's file. Remove it, or choose another output "
        "folder"
    )


def _not_ours(path: Path) -> InputError:
    return InputError(
        f"{path}: is no ledger of this command, and stays as it is. Move it away, or choose "
        "another output folder"
    )


def _check_others(path: Path) -> None:
    """Raise an InputError where a running batch divides the scans into other parts.

    Each run locks its own ledger before it checks the others. Of two simultaneous runs at least
    one is refused.
    """
    try:
        import fcntl
    except ImportError:
        return
    known = ledgers_in(path.parent)
    for other, parts in known.items():
        if other == path or parts == known.get(path):
            continue
        with open(other, "rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"{other}: another run is writing it, and divides the scans otherwise, so work "
                    "would be done twice. Wait for it, or give every run the same number of parts"
                ) from error


def _cut_torn_end(stream: BinaryIO) -> None:
    stream.seek(0)
    whole = stream.read().rfind(b"\n") + 1
    stream.truncate(whole)
    stream.seek(0, os.SEEK_END)
