"""Sizes saved, and what failed.

ledger lines ─ by stored type ─▶ Total …        Summary ─▶ plain values, exit code
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deepstd.batch.ledger import Row

ALL = "all"


@dataclass(frozen=True)
class Total:
    """Sums over the scans of one kind.

    Attributes:
        data: format and stored type, or "all".
        scans: how many.
        source_bytes: of their files. stored_bytes: of their voxels. file_bytes: of the outputs.
    """

    data: str
    scans: int
    source_bytes: int
    stored_bytes: int
    file_bytes: int

    @property
    def ratio(self) -> float:
        """Bytes of the voxels divided by those of the outputs."""
        return self.stored_bytes / max(self.file_bytes, 1)

    @property
    def saved_bytes(self) -> int:
        """How much less the outputs take than the files did."""
        return self.source_bytes - self.file_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "ratio": self.ratio, "saved_bytes": self.saved_bytes}


@dataclass(frozen=True)
class Summary:
    """What a run did, and what is there after it.

    Attributes:
        found: scans of this part.
        done: scans that are compressed now; before: those that were when the run began.
        failures: source and reason of every case that failed.
        totals: sizes by stored type, then of all.
        finished: whether every case was tried; False after Ctrl-C.
        seconds: time taken.
        ledger: where every case is written down.
        passed_over: DICOM objects that are no grey images.
    """

    found: int
    done: int
    before: int
    failures: dict[str, str]
    totals: list[Total]
    finished: bool
    seconds: float
    ledger: str
    passed_over: int = 0

    @property
    def exit_code(self) -> int:
        """0: all done; 3: some failed; 1: all failed."""
        if not self.failures:
            return 0
        return 3 if self.done else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        totals = [total.to_dict() for total in self.totals]
        return {**asdict(self), "failed": len(self.failures), "totals": totals}


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        found: scans of this part.
        done: scans that are compressed already.
        to_do: scans that would be compressed; the sizes are theirs.
        refused: scans whose output a file of another origin is in the way of.
        unreadable: source and reason of what would fail by its header alone.
        source_bytes: of the files.
        stored_bytes: of their voxels.
        estimated: of how many scans these are only guessed.
        file_bytes: of the outputs.
        seconds: from the speed of earlier runs; None where there was none.
        passed_over: DICOM objects that are no grey images.
    """

    found: int
    done: int
    to_do: int
    refused: list[str]
    unreadable: dict[str, str]
    source_bytes: int
    stored_bytes: int
    estimated: int
    file_bytes: int
    seconds: float | None
    passed_over: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def totals(rows: Iterable[Row]) -> list[Total]:
    """Sums of ledger lines by format and stored type, then of all; empty without lines."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(f"{row.get('format')} {row.get('dtype')}", []).append(row)
    found = [_total(kind, kinds[kind]) for kind in sorted(kinds)]
    if found:
        found.append(_total(ALL, [row for some in kinds.values() for row in some]))
    return found


def _total(data: str, rows: list[Row]) -> Total:
    def summed(key: str) -> int:
        return sum(number(row, key) for row in rows)

    sizes = (summed(key) for key in ("source_bytes", "stored_bytes", "file_bytes"))
    return Total(data, len(rows), *sizes)


def number(row: Mapping[str, Any], key: str) -> int:
    """A whole number of a ledger's line, which somebody may have edited; else 0."""
    value = row.get(key)
    return value if isinstance(value, int) else 0
