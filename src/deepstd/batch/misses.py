"""Files of the requested size that miss the quality asked for, and what a batch does with them.

missed, keep | lossless | flag ─▶ fields of the ledger ─▶ Summary: misses by what was done
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from deepstd.batch.ledger import Row


class OnMiss(StrEnum):
    """Treatment of a miss: keep the file, store without loss, or keep the file and flag it."""

    KEEP = "keep"
    LOSSLESS = "lossless"
    FLAG = "flag"


def fields(missed: str, on_miss: OnMiss) -> Row:
    """Return the fields of a ledger line that tell of a miss.

    Args:
        missed: what the file missed, in words.
        on_miss: what was done.
    """
    return {"missed": missed, "on_miss": str(on_miss)}


def misses(rows: Iterable[Row]) -> dict[str, dict[str, str]]:
    """Return what was missed by source, for each thing done that occurs in a ledger."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if "missed" in row:
            source = str(row.get("source", row["name"]))
            found.setdefault(str(row.get("on_miss")), {})[source] = str(row["missed"])
    return found
