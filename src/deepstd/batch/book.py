"""The one writer of a batch: outputs into their places, then a line into the ledger.

Outcome ─ write, fsync ─▶ hidden folder ─ rename ─▶ OUT_DIR/name.dstd ─ append ─▶ ledger
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepstd.batch import plan
from deepstd.batch.ledger import DONE, FAILED, Ledger, Row
from deepstd.batch.work import Outcome

Progress = Callable[[str, float], None]
# With these no later case can be written either.
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Book:
    """Writes outputs and the ledger of a run, and keeps count.

    Attributes:
        rows: ledger lines of all scans that are done, in earlier runs too.
        failures: source and reason of every case that failed in this run.

    Args:
        folder: of the outputs.
        ledger: open.
        request: what was asked of each scan.
        todo: what this run has to do.
        working: folder for half-written outputs, on the same disk.
        progress: called with a sentence and the share done.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        request: plan.Request,
        todo: plan.Plan,
        working: Path,
        progress: Progress,
    ) -> None:
        self._folder, self._ledger, self._request = folder, ledger, request
        self._todo, self._working, self._progress = todo, working, progress
        self.rows: list[Row] = list(todo.finished)
        self.failures: dict[str, str] = {}
        self._began = time.monotonic()
        self._tried = self._bytes_tried = 0
        self._bytes = sum(case.scan.nbytes for case in todo.cases)

    def note_planned(self) -> None:
        """Record what is known before any work."""
        for case, figures in self._todo.recovered:
            self._done(case, {**figures, "recovered": True}, 0.0, 1)
        for case in self._todo.refused:
            self._failed(case, plan.IN_THE_WAY, 0.0, 1, refused=True)
        done, todo = len(self.rows), len(self._todo.cases)
        self._progress(f"{done} scans are done already, {todo} to do", 0.0)

    def record(self, case: plan.Case, outcome: Outcome, tries: int) -> None:
        """Put an output in its place and the case in the ledger."""
        error, refused = outcome.error, False
        if outcome.data is not None:
            try:
                refused = not self._store(case, outcome.data)
                error = plan.IN_THE_WAY if refused else None
            except OSError as problem:
                if problem.errno in _FATAL:
                    raise
                error = f"its output cannot be written ({problem.strerror})"
        if error is None:
            self._done(case, outcome.figures, outcome.seconds, tries)
        else:
            self._failed(case, error, outcome.seconds, tries, refused=refused)
        self._tried += 1
        self._bytes_tried += case.scan.nbytes
        self._report(case)

    def _store(self, case: plan.Case, data: bytes) -> bool:
        """Write an output; False where a file appeared in its place meanwhile."""
        target = plan.output_of(self._folder, case.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not case.replaces and os.path.lexists(target):
            return False
        temporary = self._working / f"{secrets.token_hex(8)}.dstd"
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _done(self, case: plan.Case, figures: Row, seconds: float, tries: int) -> None:
        row = {"status": DONE, **figures}
        self.rows.append(self._ledger.append(self._row(case, row, seconds, tries)))

    def _failed(
        self, case: plan.Case, error: str, seconds: float, tries: int, *, refused: bool
    ) -> None:
        self.failures[case.source] = error
        row: Row = {"status": FAILED, "error": error, **({"refused": True} if refused else {})}
        self._ledger.append(self._row(case, row, seconds, tries))

    def _row(self, case: plan.Case, row: Row, seconds: float, tries: int) -> dict[str, Any]:
        return {
            **case.facts(),
            **row,
            "request": self._request.described,
            "seconds": round(seconds, 3),
            "attempt": case.attempts + tries,
        }

    def _report(self, case: plan.Case) -> None:
        count = len(self._todo.cases)
        share = self._bytes_tried / self._bytes if self._bytes else self._tried / count
        told = f"{self._tried} of {count}, {len(self.failures)} failed"
        if 0 < share < 1:
            left = (time.monotonic() - self._began) * (1 - share) / share
            told += f", about {in_time(left)} left"
        self._progress(f"{told}: {case.source}", share)


def in_time(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
