"""What became of every case: a file of JSON lines that a kill cannot spoil.

case finished ─ append, fsync ─▶ OUT_DIR/ledger[-I-of-N].jsonl ─ read_past ─▶ name → Past

A line is appended once a case is over and its output is in its place. Whatever is no whole line,
as the end of a file whose writer was killed may be, is passed over and cut off by the next run.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from deepstd.batch.shard import Shard
from deepstd.errors import InputError

DONE, FAILED = "done", "failed"
Row = dict[str, Any]

_PATTERN = "ledger*.jsonl"


@dataclass(frozen=True)
class Past:
    """What the ledgers say of one name.

    Attributes:
        done: the last line that says it was done, or None.
        attempts: how often it was tried.
        refused: whether the last line says that a file of another origin was in the way.
    """

    done: Row | None
    attempts: int
    refused: bool


def path_of(folder: Path, shard: Shard) -> Path:
    """The ledger of a part of a batch."""
    return folder / f"ledger{shard.label}.jsonl"


def read_past(folder: Path) -> dict[str, Past] | None:
    """What all ledgers in a folder say, by name; None where there is none."""
    paths = sorted(folder.glob(_PATTERN))
    if not paths:
        return None
    rows = [row for path in paths for row in _rows(path)]
    past: dict[str, Past] = {}
    for row in sorted(rows, key=lambda row: row["time"]):
        before = past.get(row["name"], Past(None, 0, False))
        past[row["name"]] = Past(
            row if row["status"] == DONE else before.done,
            max(before.attempts, row["attempt"]),
            row.get("refused") is True,
        )
    return past


class Ledger:
    """The ledger of one part, open for the one run that may write it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Ledger:
        """Open and lock it.

        Raises:
            InputError: another run has it, or it cannot be written.
        """
        try:
            self._stream = open(self.path, "a+b")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror})") from error
        try:
            _lock(self._stream, self.path)
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

    def append(self, row: Mapping[str, Any]) -> Row:
        """Write a line, stamped with the time, and wait until it is on the disk."""
        if self._stream is None:
            raise ValueError("the ledger is not open")
        stamped = {**row, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        finite = {key: _finite(value) for key, value in stamped.items()}
        line = json.dumps(finite, allow_nan=False) + "\n"
        self._stream.write(line.encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return finite


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows(path: Path) -> list[Row]:
    rows = []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    for line in lines[:-1]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _is_row(row):
            rows.append(row)
    return rows


def _is_row(row: object) -> bool:
    if not isinstance(row, dict) or row.get("status") not in (DONE, FAILED):
        return False
    attempt = row.get("attempt")
    return (
        isinstance(row.get("name"), str)
        and isinstance(row.get("time"), str)
        and isinstance(attempt, int)
    )


def _lock(stream: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: there is no such lock, and two runs are the user's care
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"{path}: another run is writing it. Wait for it, or divide the work with --shard"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: the file system does not allow to lock it ({error.strerror}), and two runs "
            "at once would do the work twice. Choose an output folder elsewhere"
        ) from error


def _cut_torn_end(stream: BinaryIO) -> None:
    stream.seek(0)
    whole = stream.read().rfind(b"\n") + 1
    stream.truncate(whole)
    stream.seek(0, os.SEEK_END)
