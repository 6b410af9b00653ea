"""Scans of a batch that their bundle could not fit, as the ledger says.

ledger.jsonl ─ last "done" line of each scan ─ missed, or unfamiliar ─▶ root → names of scans
"""

from __future__ import annotations

from pathlib import Path

from deepstd.batch.ledger import DONE, ledgers_in, rows_of
from deepstd.errors import InputError


def is_ledger(path: Path) -> bool:
    """Return True where a path is a ledger of this command."""
    return path.is_file() and path in ledgers_in(path.parent)


def unfitted(path: Path) -> dict[Path, set[str]]:
    """Return the names of scans that missed their quality or are unlike those of their bundle.

    Args:
        path: path of a ledger.

    Returns:
        Names of scans by the folder that was searched for them.

    Raises:
        InputError: the ledger cannot be read, has no such scan, or does not say where they are.
    """
    last = {row["name"]: row for row in rows_of(path) if row["status"] == DONE}
    chosen = [row for row in last.values() if row.get("missed") or row.get("unfamiliar")]
    if not chosen:
        raise InputError(
            f"{path}: no scan of this ledger missed its quality or was unlike those of its bundle. "
            "`deepstd batch --on-miss flag` with a quality notes the scans that do"
        )
    found: dict[Path, set[str]] = {}
    for row in chosen:
        if not isinstance(row.get("root"), str):
            raise InputError(
                f"{path}: does not say where the scan {row['name']} is, as its names are "
                "pseudonyms or it is of an earlier release. Give a folder with the scans instead"
            )
        found.setdefault(Path(row["root"]), set()).add(row["name"])
    return found
