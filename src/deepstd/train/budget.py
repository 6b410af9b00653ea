"""How the time of a run is shared out, from its start to its bundle.

total ─┬ template and shape model (the run's description says how much)
       ├ registration of the scans ─ as many as there is time for
       ├ scans made ready for training ─ as many as there is time for
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
    """The time of a run.

    Attributes:
        total: seconds of the whole run, over all its sessions.
        before: seconds that earlier sessions took.
        began: `time.monotonic` when this session began.
    """

    total: float
    before: float
    began: float

    @property
    def spent(self) -> float:
        """Seconds taken so far, by all sessions."""
        return self.before + time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds that remain; below 0 where too many were taken."""
        return self.total - self.spent

    @property
    def left_for_networks(self) -> float:
        """Seconds that remain for networks; not below 0."""
        return max(self.left - ENDING_SHARE * self.total, 0.0)

    def for_next_network(self, remaining: int, networks: int) -> float:
        """Seconds for the next network.

        Args:
            remaining: networks that are still to be trained, this one included.
            networks: that the run trains in all.
        """
        return max(self.left_for_networks / remaining, _NETWORKS_SHARE * self.total / networks)

    def within(self, items: Iterable[_T], share: float) -> Iterator[_T]:
        """Yield the first item, and others until a share of the whole time is over from here on."""
        until = time.monotonic() + share * self.total
        for item in items:
            yield item
            if time.monotonic() >= until:
                return
