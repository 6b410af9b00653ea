"""The time that is left of a batch.

scans done ─ bytes, seconds, by kind of file ─ a line through them ─▶ seconds of scans to come
    their sum ÷ processes ─▶ time left

Only scans that were compressed count: a broken one fails at once and says nothing of the others.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deepstd.batch.case import Case
from deepstd.batch.ledger import Row
from deepstd.batch.report import number

# The least share of its expected time that a scan under way is still given.
_LEAST_LEFT = 0.1
# Sizes that differ by less tell nothing of what a byte costs.
_ALIKE = 0.1
_ALL = ""


@dataclass
class _Line:
    """Seconds over bytes of what was done: so many for each scan, and so many a byte."""

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
        """Return the seconds of a scan of so many bytes, by least squares where sizes differ."""
        mean = self.nbytes / self.count
        spread = self.squares / self.count - mean * mean
        if spread > (_ALIKE * mean) ** 2:
            slope = (self.products / self.count - mean * self.seconds / self.count) / spread
            start = self.seconds / self.count - slope * mean
            if slope > 0 and start > 0:
                return start + slope * nbytes
        return nbytes * self.seconds / self.nbytes


class Pace:
    """The speed of a run so far.

    Args:
        cases: what is to be done.
        rows: ledger lines of what was done before with the same request.
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
        """Cases that are being done."""
        return [self._waiting[name] for name in self._begun]

    @property
    def has_more(self) -> bool:
        """Whether some cases have not begun."""
        return len(self._waiting) > len(self._begun)

    def begin(self, case: Case) -> None:
        """Take note that a case is being done."""
        self._begun[case.name] = self._now()
        self._widest = max(self._widest, len(self._begun))

    def end(self, case: Case, seconds: float | None) -> None:
        """Take note that a case is over, and how long it took if it went well."""
        self._begun.pop(case.name, None)
        self._waiting.pop(case.name, None)
        if seconds is not None and case.scan.nbytes > 0:
            for kind in (_kind(case), _ALL):
                self._lines[kind].note(case.scan.nbytes, seconds)

    def seconds_left(self) -> float | None:
        """Return the seconds until all is done, None before the first scan is."""
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
    """Write a time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _kind(case: Case) -> str:
    """Return the kind of a scan's files: as many bytes of one kind hold about as many voxels."""
    if case.scan.series is not None:
        return "dicom"
    return "".join(case.scan.places[0].suffixes[-2:]).lower()
