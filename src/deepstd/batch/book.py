"""The only writer of a batch: output files, and lines of the ledger.

Outcome ─ write, fsync ─▶ hidden folder ─ line "writing" ─▶ ledger
        └ rename ─▶ OUT_DIR/name.dstd ─ line "done" ─▶ ledger

The line before the rename has the hashes of output and scan. A run that is killed after the rename
leaves this line, and the next run recognises the output by it.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Any

from deepstd.batch.case import Case, Request
from deepstd.batch.ledger import DONE, FAILED, WRITING, Ledger, Row
from deepstd.batch.outputs import (
    A_LINK,
    IN_THE_WAY,
    digest_of,
    leads_outside,
    make_folder,
    output_of,
)
from deepstd.batch.pace import Pace, in_time
from deepstd.batch.plan import Plan
from deepstd.batch.work import Outcome, too_large
from deepstd.errors import InputError
from deepstd.progress import ShowShare

# Errors that concern the whole disk: after one of them no later case can be written either.
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN)
_MOST_NAMED = 3  # scans under way that a progress line names


class Book:
    """Writer of outputs and ledger of a run, with counts for progress.

    Attributes:
        rows: ledger lines of all scans that are done, earlier runs included.
        failures: source and reason of every case that failed in this run.

    Args:
        folder: folder of the outputs.
        ledger: the open ledger of this run.
        request: settings of the compression.
        todo: cases to compress, and cases that are done or refused.
        working: folder for half-written outputs, on the disk of ``folder``.
        progress: called with a sentence and the share done, 0 to 1.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        request: Request,
        todo: Plan,
        working: Path,
        progress: ShowShare,
    ) -> None:
        self._folder, self._ledger, self._request = folder, ledger, request
        self._todo, self._working, self._progress = todo, working, progress
        self.rows: list[Row] = list(todo.finished)
        self.failures: dict[str, str] = {}
        self._pace = Pace(todo.cases, todo.finished)
        self._tried = self._bytes_tried = self._done_now = 0
        self._bytes = sum(case.scan.nbytes for case in todo.cases)

    def note_planned(self) -> None:
        """Record the cases that need no compression: recovered and refused ones."""
        for case, figures in self._todo.recovered:
            self._done(case, {**figures, "recovered": True}, 0.0, 1)
        for case, why in self._todo.refused:
            self._failed(case, why, 0.0, 1, refused=True)
        done, todo = len(self.rows), len(self._todo.cases)
        self._progress(f"{done} scans are done already, {todo} to do", 0.0)

    def begin(self, case: Case) -> None:
        """Report that a case is being compressed."""
        self._pace.begin(case)
        self._report()

    def tell(self, text: str) -> None:
        """Report a sentence that concerns no single case."""
        self._progress(text, self._share)

    def record(self, case: Case, outcome: Outcome, tries: int) -> None:
        """Write the output of a case and its line in the ledger.

        Args:
            case: the scan.
            outcome: its compressed file or its error.
            tries: attempts in this run.

        Raises:
            InputError: nothing can be written any more, or the folder is gone.
        """
        self._check_place()
        try:
            done = self._written(case, outcome, tries)
        except OSError as problem:  # the ledger cannot be written
            raise self._cannot_go_on(problem.strerror or str(problem)) from problem
        self._done_now += done
        self._pace.end(case, outcome.seconds if done else None)
        self._tried += 1
        self._bytes_tried += case.scan.nbytes
        if not self._pace.has_more:  # else the start of the next case reports it
            self._report()

    def _written(self, case: Case, outcome: Outcome, tries: int) -> bool:
        """Write an output and its line in the ledger; return True where the case is done."""
        refusal, error, figures = None, outcome.error, outcome.figures
        if outcome.data is not None:
            figures = {**figures, "output_hash": digest_of(outcome.data)}
            try:
                refusal = self._store(case, outcome.data, figures, outcome.seconds, tries)
            except OSError as problem:
                self._check_place()
                if problem.errno in _FATAL:
                    raise
                error = f"its output cannot be written ({problem.strerror})"
        if refusal is not None:
            self._failed(case, refusal, outcome.seconds, tries, refused=True)
        elif error is not None:
            self._failed(case, error, outcome.seconds, tries, refused=False)
        else:
            self._done(case, figures, outcome.seconds, tries)
        return refusal is None and error is None

    def _store(
        self, case: Case, data: bytes, figures: Row, seconds: float, tries: int
    ) -> str | None:
        """Write an output; return the reason where it is refused, else None."""
        if 0 < case.scan.nbytes < len(data):
            return too_large(len(data), case.scan.nbytes)
        target = output_of(self._folder, case.name)
        if leads_outside(self._folder, target):
            return A_LINK
        target.parent.mkdir(parents=True, exist_ok=True)
        if not case.replaces and os.path.lexists(target):
            return IN_THE_WAY
        make_folder(self._working)
        temporary = self._working / f"{secrets.token_hex(8)}.dstd"
        try:
            with open(temporary, "xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            self._ledger.append(self._row(case, {"status": WRITING, **figures}, seconds, tries))
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return None

    def _check_place(self) -> None:
        if not self._ledger.is_in_place:
            raise self._cannot_go_on("the folder is gone, or another one is in its place")

    def _cannot_go_on(self, why: str) -> InputError:
        left = len(self._todo.cases) - self._done_now
        return InputError(
            f"{self._folder}: nothing can be written there any more ({why}). {self._done_now} "
            f"scans were done, {left} are left. Correct that, and give the same command again: it "
            "goes on from here"
        )

    def _done(self, case: Case, figures: Row, seconds: float, tries: int) -> None:
        row = {"status": DONE, **figures}
        self.rows.append(self._ledger.append(self._row(case, row, seconds, tries)))

    def _failed(self, case: Case, error: str, seconds: float, tries: int, *, refused: bool) -> None:
        self.failures[case.source] = error
        row: Row = {"status": FAILED, "error": error, **({"refused": True} if refused else {})}
        self._ledger.append(self._row(case, row, seconds, tries))

    def _row(self, case: Case, row: Row, seconds: float, tries: int) -> dict[str, Any]:
        return {
            **case.facts(),
            **row,
            "request": self._request.described,
            "seconds": round(seconds, 3),
            "attempt": case.attempts + tries,
        }

    @property
    def _share(self) -> float:
        if self._bytes:
            return self._bytes_tried / self._bytes
        return self._tried / max(1, len(self._todo.cases))

    def _report(self) -> None:
        text = f"{self._tried} of {len(self._todo.cases)}, {len(self.failures)} failed"
        under_way = [case.source for case in self._pace.under_way]
        left = self._pace.seconds_left() if under_way else None
        if left is not None:
            text += f", about {in_time(left)} left"
        if under_way:
            more = len(under_way) - _MOST_NAMED
            text += ": " + ", ".join(under_way[:_MOST_NAMED])
            text += f" and {more} more" if more > 0 else ""
        self._progress(text, self._share)
