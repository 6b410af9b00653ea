"""Length of a fit: wall-clock seconds, or a number of steps.

Limit ─ ticks ─▶ share done, 0 … 1, once a step

A fit by seconds is as good as the machine is fast. A fit by steps is reproducible.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """Time or steps that a fit may take; it has one step at least.

    Attributes:
        seconds: wall-clock seconds; does not count where steps are given.
        steps: number of steps; None for a limit by seconds.
    """

    seconds: float
    steps: int | None = None

    def scaled(self, share: float) -> Limit:
        """Return the limit of a part of a fit."""
        steps = None if self.steps is None else max(1, round(self.steps * share))
        return Limit(self.seconds * share, steps)

    def ticks(self) -> Iterator[float]:
        """Yield the share that is done before each step."""
        start, count, done = time.perf_counter(), 0, 0.0
        while done < 1:
            yield done
            count += 1
            if self.steps is not None:
                done = count / self.steps
            else:
                done = (time.perf_counter() - start) / self.seconds
