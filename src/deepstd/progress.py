"""Progress of a job: sentences for the user, and the seconds of its parts.

job ─ progress("reading") ─▶ sentences
    └ with progress.timed("shape"): … ─▶ seconds by part
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[str], None]
"""Function that shows a sentence to the user."""
ShowShare = Callable[[str, float], None]
"""Function that shows a sentence and the share of the work done, 0 to 1."""


class Progress:
    """Sentences and times of one job.

    Args:
        show: called with a sentence at each stage; None to show nothing.

    Attributes:
        seconds: seconds by part, without the parts timed within it.
    """

    def __init__(self, show: Show | None = None) -> None:
        self._show = show
        self._inner = 0.0
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def __call__(self, message: str) -> None:
        """Show a sentence."""
        if self._show is not None:
            self._show(message)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds of the context to a part."""
        began, outer = time.perf_counter(), self._inner
        self._inner = 0.0
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            self.seconds[part] += whole - self._inner
            self._inner = outer + whole
