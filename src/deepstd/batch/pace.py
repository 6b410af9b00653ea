"""Estimate of the remaining time of a batch.

scans done ─ bytes, seconds, by kind of file ─ a line through them ─▶ seconds of scans to come
    their sum ÷ processes ─▶ time left

Only compressed scans count: a broken scan fails at once and its time predicts nothing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deepstd.batch.case import Case
from deepstd.batch.ledger import Row
from deepstd.batch.report import number

# Least remaining share of the expected time of a scan under way.
_LEAST_LEFT = 0.1
# Least relative spread of sizes from which seconds per byte can be estimated.
_ALIKE = 0.1
_ALL = ""


@dataclass
class _Line:
    """Least-squares line of seconds over bytes: a constant per scan and a slope per byte."""

    count: int = 0
    nbytes: float = 0.0
    seconds: float = 0.0
    squares: float = 0.0
    products: float = 0.0

    def note(self, nbytes: int, seconds: float) -> None:
        self.count += 1
        self.nbytes += nbytes
        self.seconds += seconds
        self.squares += nbytes * nbytes
        self.products += nbytes * seconds

    def at(self, nbytes: int) -> float:
        """Return the expected seconds of a scan of ``nbytes`` bytes.

        Proportional to the bytes where the observed sizes are nearly equal.
        """
        mean = self.nbytes / self.count
        spread = self.squares / self.count - mean * mean
        if spread > (_ALIKE * mean) ** 2:
            slope = (self.products / self.count - mean * self.seconds / self.count) / spread
            start = self.seconds / self.count - slope * mean
            if slope > 0 and start > 0:
                return start + slope * nbytes
        return nbytes * self.seconds / self.nbytes


class Pace:
    """Measured speed of a run, and the remaining time that it implies.

    Args:
        cases: scans to compress.
        rows: ledger lines of scans that were compressed before with the same request.
        now: clock in seconds.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        rows: Iterable[Row],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._waiting = {case.name: case for case in cases}
        self._begun: dict[str, float] = {}
        self._widest = 1
        self._lines: dict[str, _Line] = defaultdict(_Line)
        for row in rows:
            seconds = row.get("seconds")
            nbytes = number(row, "source_bytes")
            if isinstance(seconds, float) and seconds > 0 and nbytes > 0:
                self._lines[_ALL].note(nbytes, seconds)

    @property
    def under_way(self) -> list[Case]:
        """Cases that are being compressed."""
        return [self._waiting[name] for name in self._begun]

    @property
    def has_more(self) -> bool:
        """True while some cases have not begun."""
        return len(self._waiting) > len(self._begun)

    def begin(self, case: Case) -> None:
        """Record the start of a case."""
        self._begun[case.name] = self._now()
        self._widest = max(self._widest, len(self._begun))

    def end(self, case: Case, seconds: float | None) -> None:
        """Record the end of a case and its seconds; None where it failed."""
        self._begun.pop(case.name, None)
        self._waiting.pop(case.name, None)
        if seconds is not None and case.scan.nbytes > 0:
            for kind in (_kind(case), _ALL):
                self._lines[kind].note(case.scan.nbytes, seconds)

    def seconds_left(self) -> float | None:
        """Return the seconds until all cases are done; None before the first one is."""
        if _ALL not in self._lines:
            return None
        left = {name: self._expected(case) for name, case in self._waiting.items()}
        for name, began in self._begun.items():
            left[name] = max(left[name] - (self._now() - began), _LEAST_LEFT * left[name])
        return max(sum(left.values()) / self._widest, max(left.values(), default=0.0))

    def _expected(self, case: Case) -> float:
        kind = _kind(case)
        return self._lines[kind if kind in self._lines else _ALL].at(case.scan.nbytes)


def in_time(seconds: float) -> str:
    """Format seconds as text in s, min or h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _kind(case: Case) -> str:
    """Return the file kind of a scan: within a kind, voxels per byte are about equal."""
    if case.scan.series is not None:
        return "dicom"
    return "".join(case.scan.places[0].suffixes[-2:]).lower()
