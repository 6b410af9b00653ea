"""Records of earlier runs, by the name of the output.

OUT_DIR/ledger*.jsonl ─ lines in the order of their times ─▶ name → Past
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deepstd.batch.ledger import DONE, WRITING, Row, ledgers_in, rows_of


@dataclass(frozen=True)
class Past:
    """The record of one output in all ledgers.

    Attributes:
        done: the last line with status "done", or None.
        attempts: number of attempts in all runs.
        refused: the last line says that a file of another origin was in the way.
        writing: the last line, where its status is "writing": the run was killed while the output
            was moved to its path. Else None.
    """

    done: Row | None = None
    attempts: int = 0
    refused: bool = False
    writing: Row | None = None


def read_past(folder: Path) -> dict[str, Past]:
    """Read all ledgers in a folder.

    Raises:
        InputError: a ledger cannot be read.
    """
    return _past(row for _, row in sorted(_timed(folder), key=lambda timed: timed[0]))


def past_of(ledger: Path) -> dict[str, Past]:
    """Read one ledger of any name.

    Raises:
        InputError: it cannot be read.
    """
    return _past(rows_of(ledger))


def _past(rows: Iterable[Row]) -> dict[str, Past]:
    past: dict[str, Past] = {}
    for row in rows:
        before = past.get(row["name"], Past())
        past[row["name"]] = Past(
            row if row["status"] == DONE else before.done,
            max(before.attempts, row["attempt"]),
            row.get("refused") is True,
            row if row["status"] == WRITING else None,
        )
    return past


def _timed(folder: Path) -> list[tuple[str, Row]]:
    """Return all lines with their times, made non-decreasing within each ledger.

    A clock that was set back must not change the order of lines.
    """
    timed = []
    for path in ledgers_in(folder):
        latest = ""
        for row in rows_of(path):
            latest = max(latest, row["time"])
            timed.append((latest, row))
    return timed
