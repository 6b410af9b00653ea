"""Scans of a batch that their bundle could not fit, as the ledger says.

ledger.jsonl ─ last "done" line of each scan ─ missed, or unfamiliar ─▶ names of scans
"""

from __future__ import annotations

from pathlib import Path

from deepstd.batch.ledger import DONE, ledgers_in, rows_of
from deepstd.errors import InputError


def is_ledger(path: Path) -> bool:
    """Return True where a path is a ledger of this command."""
    return path.is_file() and path in ledgers_in(path.parent)


def unfitted(path: Path) -> set[str]:
    """Return the names of scans that missed their quality or are unlike those of their bundle.

    Args:
        path: path of a ledger.

    Raises:
        InputError: the ledger cannot be read, or has no such scan.
    """
    last = {row["name"]: row for row in rows_of(path) if row["status"] == DONE}
    found = {n for n, row in last.items() if row.get("missed") or row.get("unfamiliar")}
    if not found:
        raise InputError(
            f"{path}: no scan of this ledger missed its quality or was unlike those of its bundle. "
            "`deepstd batch --on-miss flag` with a quality notes the scans that do"
        )
    return found
