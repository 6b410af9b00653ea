"""Reports of a batch: bytes saved, worst scans, failures, skipped files.

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
_MOST_WORST = 5  # scans listed for each metric
_PROTECTED = ("share", "ratio_before", "ratio")  # figures of protected regions in a ledger


@dataclass(frozen=True)
class Total:
    """Sums over the scans of one kind.

    Attributes:
        data: format and stored type, or "all".
        scans: number of scans.
        source_bytes: bytes of their files.
        stored_bytes: bytes of their voxels.
        file_bytes: bytes of the outputs.
        worst_psnr: least PSNR in dB; None where none is known.
        worst_ssim: least SSIM, at most 1; None where none is known.
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
        """Compression ratio: bytes of the voxels divided by bytes of the outputs."""
        return self.stored_bytes / max(self.file_bytes, 1)

    @property
    def saved_bytes(self) -> int:
        """Bytes by which outputs are smaller than the files of their scans."""
        return self.source_bytes - self.file_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "ratio": self.ratio, "saved_bytes": self.saved_bytes}


@dataclass(frozen=True)
class Quality:
    """Error metrics of one restored scan.

    Attributes:
        source: path or name of the scan.
        psnr: PSNR in dB.
        ssim: SSIM, at most 1.
        ratio: compression ratio of the file.
    """

    source: str
    psnr: float
    ssim: float
    ratio: float


@dataclass(frozen=True)
class PassedKind:
    """Skipped files of one kind, which are no scans.

    Attributes:
        kind: description of the kind.
        count: number of files.
        files: reason (or "") by the name of the file; empty in an anonymous run.
    """

    kind: str
    count: int
    files: dict[str, str]


@dataclass(frozen=True)
class SideCars:
    """Files beside the scans: what became of them, or would.

    Attributes:
        copied: number of files that lie beside the outputs.
        nbytes: bytes of them.
        left_out: names of files that are not copied, by the reason; names are empty where they are
            not to be told.
        failures: reason by name of those that could not be copied.
    """

    copied: int = 0
    nbytes: int = 0
    left_out: dict[str, list[str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """The results of a run, and the state of the output folder after it.

    Attributes:
        found: number of scans of this part.
        done: number of scans that are compressed after the run.
        before: number of scans that were compressed before the run.
        failures: reason by source of every case that failed.
        totals: sums by format and stored type, then of all scans.
        finished: every case was tried; False after Ctrl-C.
        seconds: duration of the run.
        ledger: path of the ledger.
        worst: compressed scans with the least PSNR and SSIM.
        passed_over: files that are no scans, by kind.
        misses: for "keep", "lossless" and "flag" what the scans missed that were treated so, by
            source.
        unfamiliar: compressed scans unlike those of their bundle, with the measures beyond limits.
        sidecars: files that were copied beside the outputs.
        protected: what was protected, in words, by source of the scans with protected regions.
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
    misses: dict[str, dict[str, str]] = field(default_factory=dict)
    unfamiliar: dict[str, str] = field(default_factory=dict)
    sidecars: SideCars = field(default_factory=SideCars)
    protected: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Exit code of the command. 0: all done; 3: some failed; 1: all failed."""
        if not self.failures:
            return 0
        return 3 if self.done else 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        totals = [total.to_dict() for total in self.totals]
        return {**asdict(self), "failed": len(self.failures), "totals": totals}


@dataclass(frozen=True)
class Planned:
    """Forecast for one scan.

    Attributes:
        source: path or name of the scan.
        name: name of the output.
        state: "done", "to do", "refused", "unreadable" or "too large" (its files are smaller than
            the output would be).
        source_bytes: bytes of its files.
        stored_bytes: bytes of its voxels; None where unknown.
        file_bytes: bytes of the output; None where unknown.
    """

    source: str
    name: str
    state: str
    source_bytes: int
    stored_bytes: int | None = None
    file_bytes: int | None = None


@dataclass(frozen=True)
class Forecast:
    """Expected results of a run.

    Attributes:
        found: number of scans of this part.
        done: number of scans that are compressed already.
        to_do: number of scans that would be compressed; the sizes below are sums over them.
        refused: reason by source of scans whose output cannot be written.
        unreadable: reason by source of scans and folders that cannot be read.
        source_bytes: bytes of the files.
        stored_bytes: bytes of their voxels.
        estimated: number of scans whose ``stored_bytes`` are guessed from the size of their files.
        file_bytes: bytes of the outputs; None for lossless ones, whose sizes are not known before.
        seconds: duration at the speed of earlier runs; None without an earlier run.
        scans: all scans of this part.
        passed_over: files that are no scans, by kind.
        sidecars: files that would be copied beside the outputs.
    """

    found: int
    done: int
    to_do: int
    refused: dict[str, str]
    unreadable: dict[str, str]
    source_bytes: int
    stored_bytes: int
    estimated: int
    file_bytes: int | None
    seconds: float | None
    scans: list[Planned] = field(default_factory=list)
    passed_over: list[PassedKind] = field(default_factory=list)
    sidecars: SideCars = field(default_factory=SideCars)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def totals(rows: Iterable[Row]) -> list[Total]:
    """Sum up ledger lines by format and stored type, then all lines; empty without lines."""
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
        min((value for row in rows if (value := figure(row, key)) is not None), default=None)
        for key in ("psnr", "ssim")
    )
    return Total(data, len(rows), *sizes, *worst)


def worst(rows: Iterable[Row]) -> list[Quality]:
    """Return the scans with the least PSNR or SSIM, in order of increasing PSNR."""
    known = [
        Quality(str(row.get("source", row["name"])), psnr, ssim, figure(row, "ratio") or math.nan)
        for row in rows
        if (psnr := figure(row, "psnr")) is not None and (ssim := figure(row, "ssim")) is not None
    ]
    chosen = sorted(known, key=_by_psnr)[:_MOST_WORST]
    chosen += sorted(known, key=lambda one: (one.ssim, one.source))[:_MOST_WORST]
    return sorted(dict.fromkeys(chosen), key=_by_psnr)


def unfamiliar(rows: Iterable[Row]) -> dict[str, str]:
    """Return the measures beyond their limits by source of every scan unlike its bundle's."""
    found = {}
    for row in rows:
        texts = row.get("unfamiliar")
        if isinstance(texts, list) and texts:
            found[str(row.get("source", row["name"]))] = "; ".join(map(str, texts))
    return found


def protected(rows: Iterable[Row]) -> dict[str, str]:
    """Return what was protected, in words, by source of every scan with protected regions."""
    found = {}
    for row in rows:
        told = row.get("protected")
        figures = [figure(told, key) for key in _PROTECTED] if isinstance(told, Mapping) else []
        share, before, after = figures or (None, None, None)
        if share is not None and before is not None and after is not None:
            found[str(row.get("source", row["name"]))] = (
                f"{100 * share:.2g} % of the scan, its error {before:.2f} -> {after:.2f} times "
                "that of the rest"
            )
    return found


def _by_psnr(one: Quality) -> tuple[float, str]:
    return one.psnr, one.source


def by_kind(passed: Iterable[PassedOver], *, is_anonymous: bool = False) -> list[PassedKind]:
    """Group skipped files by kind, the most frequent kind first."""
    kinds: dict[str, dict[str, str]] = {}
    for one in passed:
        kinds.setdefault(one.kind, {})[one.name] = one.reason
    return [
        PassedKind(kind, len(files), {} if is_anonymous else files)
        for kind, files in sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def figure(row: Mapping[str, Any], key: str) -> float | None:
    """Return a metric of a ledger's line; None for the infinite PSNR of an exact scan."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def number(row: Mapping[str, Any], key: str) -> int:
    """Return an integer of a ledger's line, or 0 where the line holds something else."""
    value = row.get(key)
    return value if isinstance(value, int) else 0
