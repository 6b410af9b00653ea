"""Records of earlier runs, by the names of outputs.

OUT_DIR/ledger*.jsonl ─ lines in the order of their times ─▶ name → Past
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deepstd.batch.ledger import DONE, WRITING, Row, ledgers_in, rows_of


@dataclass(frozen=True)
class Past:
    """The record of one name in all ledgers.

    Attributes:
        done: the last line that says it was done, or None.
        attempts: how often it was tried.
        refused: whether the last line says that a file of another origin was in the way.
        writing: the last line, where it says that an output was about to take its place, so that
            the run was killed there; else None.
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
    past: dict[str, Past] = {}
    for _, row in sorted(_timed(folder), key=lambda timed: timed[0]):
        before = past.get(row["name"], Past())
        past[row["name"]] = Past(
            row if row["status"] == DONE else before.done,
            max(before.attempts, row["attempt"]),
            row.get("refused") is True,
            row if row["status"] == WRITING else None,
        )
    return past


def _timed(folder: Path) -> list[tuple[str, Row]]:
    """Return lines with times that never go back within one ledger, whatever the clock did."""
    timed = []
    for path in ledgers_in(folder):
        latest = ""
        for row in rows_of(path):
            latest = max(latest, row["time"])
            timed.append((latest, row))
    return timed
