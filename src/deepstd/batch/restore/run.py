"""A whole restoration: side-cars, scans, ledger.

DIR ─ tree ─┬ side-cars ─▶ copies, their SHA-256 compared
            └ plan ─▶ cases ─ processes ─▶ hidden folder ─ "writing", rename, "done" ─▶ OUT
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepstd.batch import local
from deepstd.batch.dataset.bids import MOST_BYTES, without_ours
from deepstd.batch.dataset.copying import Copied, Copier
from deepstd.batch.dataset.names import IGNORED
from deepstd.batch.dataset.tree import Tree, read_tree
from deepstd.batch.ledger import DONE, FAILED, WRITING, Ledger, Row
from deepstd.batch.outputs import IN_THE_WAY, make_folder
from deepstd.batch.past import past_of
from deepstd.batch.restore.plan import RestorePlan, make_plan
from deepstd.batch.restore.work import RestoreCase, Restorer
from deepstd.batch.signals import deferred
from deepstd.batch.work import AUTO, Outcome
from deepstd.errors import InputError
from deepstd.io import check_folder
from deepstd.io.dicom import Item
from deepstd.io.dicom import is_written as is_of_series
from deepstd.io.stack import is_written as is_of_stack
from deepstd.preflight import check_devices
from deepstd.progress import ShowShare

LEDGER = ".deepstd-restore.jsonl"
_WORKING = ".deepstd-restore"
_OTHERS = "holds other files than slices of a restored scan, and is not replaced. Move it away"


@dataclass(frozen=True)
class RestoreSummary:
    """The results of a restoration.

    Attributes:
        found: number of compressed scans.
        done: number of scans that are restored after the run.
        before: number of scans that were restored before the run.
        sidecars: number of other files that are in place.
        failures: reason by file of every scan and side-car that failed.
        missing: files that SHA256SUMS lists and the folder lacks.
        notes: sentences on restored scans, by file.
        finished: every case was tried; False after Ctrl-C.
        seconds: duration of the run.
    """

    found: int
    done: int
    before: int
    sidecars: int
    failures: dict[str, str]
    missing: list[str]
    notes: dict[str, list[str]] = field(default_factory=dict)
    finished: bool = True
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """Exit code of the command. 0: all done; 3: some failed; 1: all failed."""
        if not self.failures:
            return 0
        return 3 if self.done or self.sidecars else 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "failed": len(self.failures)}


def restore(
    source: Path,
    output: Path,
    progress: ShowShare,
    *,
    model: str = AUTO,
    device: str = "auto",
    processes: int = 1,
    overwrite: bool = False,
) -> RestoreSummary:
    """Restore all scans of a data set and copy its other files, resuming an earlier run.

    Args:
        source: folder of compressed scans, as a batch wrote it or of any other origin.
        output: folder for the originals, outside of ``source``.
        progress: called with a sentence and the share done, 0 to 1.
        model: bundle for the files that were written with it; "auto" to find each.
        device: "auto", "cpu", "cuda" or "cuda:N".
        processes: number of parallel processes.
        overwrite: existing files of another origin may be replaced.

    Raises:
        InputError: there is no compressed scan, or the output cannot be written or lies within
            ``source``.
        BundleError, DeviceError: no scan can be restored.
    """
    began = time.monotonic()
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source)):
        raise InputError(
            f"{output}: lies in the folder of the compressed scans, which would then no longer be "
            "the one that was published. Choose an output outside of it"
        )
    check_folder(output)
    check_devices(device)
    tree = read_tree(source, without=output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror})") from error
    with Ledger(output / LEDGER) as ledger:
        working = output / _WORKING
        if not working.is_symlink():
            shutil.rmtree(working, ignore_errors=True)  # left by a killed run
        make_folder(working)
        finished = True
        try:
            copied = _copy(tree, output, working, progress, overwrite=overwrite)
            plan = make_plan(tree, output, past_of(ledger.path), overwrite=overwrite)
            book = _Book(output, ledger, plan, progress)
            worker = Restorer(working, model, device)
            try:
                with closing(local.outcomes(plan.cases, worker, processes, book.begin)) as outcomes:
                    for case, outcome, tries in outcomes:
                        with deferred():  # so that output, ledger and summary agree
                            book.record(case, outcome, tries)
            except KeyboardInterrupt:
                finished = False
        finally:
            shutil.rmtree(working, ignore_errors=True)
    unlisted = {name: "the folder cannot be listed. Allow to read it" for name in tree.unreadable}
    return RestoreSummary(
        len(tree.scans),
        book.done,
        plan.finished,
        len(copied.sums),
        {**copied.failures, **book.failures, **unlisted},
        tree.missing,
        book.notes,
        finished,
        time.monotonic() - began,
    )


def _copy(
    tree: Tree, output: Path, working: Path, progress: ShowShare, *, overwrite: bool
) -> Copied:
    copier = Copier(output, working, {}, expected=tree.sums, overwrite=overwrite)
    for number, one in enumerate(tree.sidecars):
        if number % 100 == 0:
            progress(f"copying side-cars, {number} of {len(tree.sidecars)}", 0.0)
        is_ignored = one.name.rpartition("/")[2] == IGNORED
        content = _without_ours(one.item) if is_ignored else one.item
        if content is not None:
            copier.copy(one.name, content)
    return copier.done


def _without_ours(item: Item) -> Item | bytes | None:
    """Return the content of a .bidsignore without our lines; the file where it cannot be read."""
    try:
        if item.nbytes > MOST_BYTES:
            return item
        return without_ours(item.path.read_bytes())
    except OSError:
        return item  # copying it fails, with a message


class _Book:
    """The only writer of restored scans and of their ledger."""

    def __init__(
        self, output: Path, ledger: Ledger, plan: RestorePlan, progress: ShowShare
    ) -> None:
        self._output, self._ledger, self._plan = output, ledger, plan
        self._progress = progress
        self.done, self.failures = plan.finished, dict[str, str]()
        self.notes: dict[str, list[str]] = {}
        self._tried = self._bytes_tried = 0
        self._bytes = sum(case.stored.nbytes for case in plan.cases) or 1
        for case, row in plan.recovered:
            self._append(case, {**_lasting(row), "status": DONE, "recovered": True}, 0.0, 1)
            self.done += 1
        for case, why in plan.refused:
            self._fail(case, why, 0.0, 1)
        self._progress(f"{self.done} scans are restored already, {len(plan.cases)} to do", 0.0)

    def begin(self, case: RestoreCase) -> None:
        """Report that a scan is being restored."""
        text = f"{self._tried} of {len(self._plan.cases)}, {len(self.failures)} failed"
        self._progress(f"{text}: {case.name}", self._bytes_tried / self._bytes)

    def record(self, case: RestoreCase, outcome: Outcome, tries: int) -> None:
        """Move a restored scan to its place, with a line in the ledger before and after.

        Raises:
            InputError: the ledger or its folder is gone.
        """
        if not self._ledger.is_in_place:
            raise InputError(
                f"{self._output}: the folder is gone, or another one is in its place. Correct "
                "that, and give the same command again: it goes on from here"
            )
        self._tried += 1
        self._bytes_tried += case.stored.nbytes
        error, figures = outcome.error, dict(outcome.figures)
        if error is None:
            restored = Path(figures.pop("restored"))
            try:
                error = self._place(case, restored, figures, outcome.seconds, tries)
            except OSError as problem:
                error = f"its output cannot be written ({problem.strerror})"
            shutil.rmtree(restored.parent, ignore_errors=True)
        if error is not None:
            self._fail(case, error, outcome.seconds, tries)
            return
        self._append(case, {"status": DONE, **figures}, outcome.seconds, tries)
        self.done += 1
        if figures.get("notes"):
            self.notes[case.name] = figures["notes"]

    def _place(
        self, case: RestoreCase, restored: Path, figures: Row, seconds: float, tries: int
    ) -> str | None:
        """Move a restored scan; return the reason where it stays out, else None."""
        target = self._output / case.original
        target.parent.mkdir(parents=True, exist_ok=True)
        is_there = os.path.lexists(target)
        empty = is_there and target.is_dir() and not any(target.iterdir())
        if is_there and not empty and not case.replaces:
            return IN_THE_WAY
        if is_there and target.is_dir():
            ours = (is_of_series(one.name) or is_of_stack(one.name) for one in target.iterdir())
            if target.is_symlink() or not restored.is_dir() or not all(ours):
                return f"{case.original} {_OTHERS}"
        self._append(case, {"status": WRITING, **figures}, seconds, tries)
        if is_there and restored.is_dir():
            os.replace(target, restored.parent / ".before")
        os.replace(restored, target)
        return None

    def _fail(self, case: RestoreCase, why: str, seconds: float, tries: int) -> None:
        self.failures[case.name] = why
        self._append(case, {"status": FAILED, "error": why}, seconds, tries)

    def _append(self, case: RestoreCase, row: Row, seconds: float, tries: int) -> None:
        facts = {"name": case.name, "to": case.original, "source_state": case.stored.state}
        attempt = case.attempts + tries
        self._ledger.append({**facts, **row, "seconds": round(seconds, 3), "attempt": attempt})


def _lasting(row: Row) -> Row:
    kept = ("output_hash", "file_bytes", "notes")
    return {key: row[key] for key in kept if key in row}
