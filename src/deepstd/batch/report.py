"""Reports of a batch: sizes saved, worst scans, failures, files passed over.

ledger lines ─ by stored type ─▶ Total …
             └ least PSNR, least SSIM ─▶ Quality …
Summary, Forecast ─▶ plain values, exit code
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from deepstd.batch.ledger import Row
from deepstd.io import PassedOver

ALL = "all"
_MOST_WORST = 5


@dataclass(frozen=True)
class Total:
    """Sums over the scans of one kind.

    Attributes:
        data: format and stored type, or "all".
        scans: how many.
        source_bytes: of their files. stored_bytes: of their voxels. file_bytes: of the outputs.
        worst_psnr, worst_ssim: the least of them, in dB and from 0 to 1; None where none is known.
    """

    data: str
    scans: int
    source_bytes: int
    stored_bytes: int
    file_bytes: int
    worst_psnr: float | None = None
    worst_ssim: float | None = None

    @property
    def ratio(self) -> float:
        """Bytes of the voxels divided by those of the outputs."""
        return self.stored_bytes / max(self.file_bytes, 1)

    @property
    def saved_bytes(self) -> int:
        """The bytes by which outputs are smaller than the files of their scans."""
        return self.source_bytes - self.file_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "ratio": self.ratio, "saved_bytes": self.saved_bytes}


@dataclass(frozen=True)
class Quality:
    """The error figures of one restored scan.

    Attributes:
        source: the scan.
        psnr: in dB. ssim: from 0 to 1. ratio: of the file.
    """

    source: str
    psnr: float
    ssim: float
    ratio: float


@dataclass(frozen=True)
class PassedKind:
    """Files of one kind that are no scans.

    Attributes:
        kind: in words.
        count: how many.
        files: their names, each with the reason where there is one; none in an anonymous run.
    """

    kind: str
    count: int
    files: dict[str, str]


@dataclass(frozen=True)
class Summary:
    """The results of a run, and the state of the output folder after it.

    Attributes:
        found: scans of this part.
        done: scans that are compressed now; before: those that were when the run began.
        failures: source and reason of every case that failed.
        totals: sizes by stored type, then of all.
        finished: whether every case was tried; False after Ctrl-C.
        seconds: time taken.
        ledger: where every case is written down.
        worst: of all that are done, those with the least PSNR and SSIM.
        passed_over: files that are no scans, by kind.
    """

    found: int
    done: int
    before: int
    failures: dict[str, str]
    totals: list[Total]
    finished: bool
    seconds: float
    ledger: str
    worst: list[Quality] = field(default_factory=list)
    passed_over: list[PassedKind] = field(default_factory=list)

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
class Planned:
    """A scan as a run would find it.

    Attributes:
        source, name: of scan and output.
        state: "done", "to do", "refused", "unreadable" or "too large" (its files are smaller than
            the output would be).
        source_bytes, stored_bytes, file_bytes: of its files, its voxels and the output.
    """

    source: str
    name: str
    state: str
    source_bytes: int
    stored_bytes: int | None = None
    file_bytes: int | None = None


@dataclass(frozen=True)
class Forecast:
    """The results that a run would have.

    Attributes:
        found: scans of this part.
        done: scans that are compressed already.
        to_do: scans that would be compressed; the sizes are theirs.
        refused: source and reason of scans whose output cannot take its place.
        unreadable: source and reason of what would fail by its header alone.
        source_bytes: of the files.
        stored_bytes: of their voxels.
        estimated: of how many scans these are only guessed.
        file_bytes: of the outputs.
        seconds: from the speed of earlier runs; None where there was none.
        scans: all of this part.
        passed_over: files that are no scans, by kind.
    """

    found: int
    done: int
    to_do: int
    refused: dict[str, str]
    unreadable: dict[str, str]
    source_bytes: int
    stored_bytes: int
    estimated: int
    file_bytes: int
    seconds: float | None
    scans: list[Planned] = field(default_factory=list)
    passed_over: list[PassedKind] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def totals(rows: Iterable[Row]) -> list[Total]:
    """Sum up ledger lines by format and stored type, then all of them; empty without lines."""
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
    worst = (
        min((value for row in rows if (value := _figure(row, key)) is not None), default=None)
        for key in ("psnr", "ssim")
    )
    return Total(data, len(rows), *sizes, *worst)


def worst(rows: Iterable[Row]) -> list[Quality]:
    """Return the scans with the least PSNR and the least SSIM, the least PSNR first."""
    known = [
        Quality(str(row.get("source", row["name"])), psnr, ssim, _figure(row, "ratio") or math.nan)
        for row in rows
        if (psnr := _figure(row, "psnr")) is not None and (ssim := _figure(row, "ssim")) is not None
    ]
    chosen = sorted(known, key=_by_psnr)[:_MOST_WORST]
    chosen += sorted(known, key=lambda one: (one.ssim, one.source))[:_MOST_WORST]
    return sorted(dict.fromkeys(chosen), key=_by_psnr)


def _by_psnr(one: Quality) -> tuple[float, str]:
    return one.psnr, one.source


def by_kind(passed: Iterable[PassedOver], *, is_anonymous: bool = False) -> list[PassedKind]:
    """Sort files that were passed over by kind, the largest kind first."""
    kinds: dict[str, dict[str, str]] = {}
    for one in passed:
        kinds.setdefault(one.kind, {})[one.name] = one.reason
    return [
        PassedKind(kind, len(files), {} if is_anonymous else files)
        for kind, files in sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def _figure(row: Mapping[str, Any], key: str) -> float | None:
    """Return a number of a ledger's line, None for the infinite figure of an exact scan."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def number(row: Mapping[str, Any], key: str) -> int:
    """Return a whole number of a ledger's line, or 0 where somebody put something else."""
    value = row.get(key)
    return value if isinstance(value, int) else 0
