"""Series that wait for their compression: until they are quiet, or known to be complete.

stored, released ─▶ Waiting ─ due ─▶ keys of series to compress

A series is quiet after some seconds without a new object. It is complete at once where all its
objects state *Images in Acquisition*, as many are there, and each association that brought one was
released. A series that was taken for complete too early is compressed again with what came later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class _Series:
    changed: float
    stated: set[int | None] = field(default_factory=set)
    open_by: set[int] = field(default_factory=set)

    @property
    def may_be_complete(self) -> bool:
        """True where nothing but the number of objects can say that more will come."""
        return not self.open_by and len(self.stated) == 1 and None not in self.stated


class Waiting:
    """Series with objects that no output holds yet; for several threads.

    Args:
        quiet_seconds: time without a new object after which a series is compressed.
        clock: seconds that never run backwards.
    """

    def __init__(self, quiet_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet_seconds, clock
        self._series: dict[str, _Series] = {}
        self._condition = threading.Condition()

    def __len__(self) -> int:
        with self._condition:
            return len(self._series)

    def note(self, key: str, images: int | None = None, association: int | None = None) -> None:
        """Note a new object of a series.

        Args:
            key: the series.
            images: *Images in Acquisition* of the object, or None.
            association: number of the association that brought it; None for one found on the disk.
        """
        with self._condition:
            series = self._series.setdefault(key, _Series(0.0))
            series.changed = self._clock()
            series.stated.add(images)
            if association is not None:
                series.open_by.add(association)

    def release(self, association: int, *, is_regular: bool) -> None:
        """Note the end of an association; one that broke off completes nothing."""
        with self._condition:
            for series in self._series.values():
                if association in series.open_by:
                    series.open_by.discard(association)
                    if not is_regular:
                        series.stated.add(None)
            self._condition.notify_all()

    def take(self, count: Callable[[str], int]) -> list[str]:
        """Remove and return the series that are due.

        Args:
            count: returns the number of objects that are there of a series.
        """
        with self._condition:
            now = self._clock()
            due = [
                key
                for key, series in self._series.items()
                if now - series.changed >= self._quiet
                or (series.may_be_complete and series.stated == {count(key)})
            ]
            for key in due:
                del self._series[key]
            return due

    def wait(self, seconds: float) -> None:
        """Wait until an association ends, at most some seconds."""
        with self._condition:
            self._condition.wait(seconds)
