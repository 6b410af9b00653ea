"""Shares of the time of a run, from its start to its bundle.

total ─┬ template and shape model (share in the run's description)
       ├ registration of scans, within a share
       ├ preparation of training examples, within a share
       ├ networks ─ the rest, at least two fifths
       └ tables and bundle
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

REGISTRATION_SHARE, READY_SHARE, ENDING_SHARE = 0.2, 0.1, 0.05
_NETWORKS_SHARE = 0.4
_T = TypeVar("_T")


@dataclass(frozen=True)
class Budget:
    """Time of a run.

    Attributes:
        total: seconds of the whole run, over all its sessions.
        before: seconds spent by earlier sessions.
        began: value of `time.monotonic` at the start of this session.
    """

    total: float
    before: float
    began: float

    @property
    def spent(self) -> float:
        """Seconds spent so far by all sessions."""
        return self.before + time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Remaining seconds; negative after an overrun."""
        return self.total - self.spent

    @property
    def left_for_networks(self) -> float:
        """Remaining seconds for networks, at least 0."""
        return max(self.left - ENDING_SHARE * self.total, 0.0)

    def for_next_network(self, remaining: int, networks: int) -> float:
        """Return the seconds for the next network.

        Args:
            remaining: networks still to be trained, the next one included.
            networks: all networks that the run trains.
        """
        return max(self.left_for_networks / remaining, _NETWORKS_SHARE * self.total / networks)

    def within(self, items: Iterable[_T], share: float) -> Iterator[_T]:
        """Yield the first item, and more until a share of the whole time has passed."""
        until = time.monotonic() + share * self.total
        for item in items:
            yield item
            if time.monotonic() >= until:
                return
