"""The archive: series of a spool become .dstd files, by the machinery of a batch.

series that are due ─ discover, plan ─▶ cases ─ processes ─▶ OUT/KEY-ID.dstd, ledger ─▶ marked
    └ originals are to go ─ processes: verify against them ─▶ deleted, their hashes remembered

A mark in the folder of a series names the objects that its outputs hold. A series without a mark,
or with other objects, waits for its compression, after a restart as well. Where originals were
deleted and more objects come later, these get an output of their own: KEY-ID-2.dstd.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from deepstd.batch import local, plan
from deepstd.batch.book import Book
from deepstd.batch.case import Case, Request
from deepstd.batch.ledger import Ledger, Row
from deepstd.batch.outputs import make_folder, output_of
from deepstd.batch.past import read_past
from deepstd.batch.signals import deferred
from deepstd.batch.work import Compressor, Outcome, in_words
from deepstd.errors import DeepSTDError
from deepstd.io import Metadata, ScanSource, discover
from deepstd.network.spool import Spool, flush_folder, write_whole
from deepstd.verification import verify

Tell = Callable[[str], None]
Report = Callable[[Row], None]
_MARK = ".compressed.json"
_FAILED = "failed"


@dataclass
class _Series:
    """A series in one round: names of its originals, its scans, and objects that are no scans."""

    names: frozenset[str]
    scans: list[ScanSource]
    others: int


@dataclass(frozen=True)
class Work:
    """Settings of the compression of series.

    Attributes:
        request: settings as the ledger states them.
        worker: compresses a case.
        processes: number of parallel processes.
        delete: whether originals are deleted once an output is verified against them.
        device: device of the verification.
    """

    request: Request
    worker: Compressor
    processes: int
    delete: bool
    device: str


class Archive:
    """Outputs of a spool.

    Args:
        spool: the open spool.
        output: folder of the outputs.
        ledger: the open ledger of the folder.
        work: how series are compressed.
        tell: called with a sentence on the work.
        report: called with the ledger's fields of each output, or "name" and "error".
    """

    def __init__(
        self, spool: Spool, output: Path, ledger: Ledger, work: Work, tell: Tell, report: Report
    ) -> None:
        self._spool, self._output, self._ledger, self._work = spool, output, ledger, work
        self._tell, self._report = tell, report

    def is_done(self, key: str) -> bool:
        """Return True where the outputs hold all originals of a series.

        A series that failed in an earlier run counts as not done.
        """
        try:
            mark = json.loads((self._spool.root / key / _MARK).read_bytes())
            return mark["names"] == _digest(self._spool.names(key)) and not mark[_FAILED]
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def compress(self, keys: Iterable[str]) -> None:
        """Compress series and, where asked, delete their originals.

        Raises:
            InputError: no output can be written any more.
            DeepSTDError: no process can be started.
        """
        series = {key: self._found(key) for key in keys}
        names = {s.name: self._name(key, s) for key, one in series.items() for s in one.scans}
        scans = [scan for one in series.values() for scan in one.scans]
        there = any(output_of(self._output, name).exists() for name in names.values())
        todo = plan.make_plan(
            scans,
            self._spool.root,
            self._output,
            self._work.request,
            read_past(self._output) if there else {},
            overwrite=True,
            names=names,
        )
        cases = [*todo.cases, *(case for case, _ in todo.recovered)]
        finished = {row["name"] for row in todo.finished}
        book = self._recorded(todo)
        done = {row["name"] for row in book.rows}
        for row in book.rows:
            if row["name"] not in finished:
                self._report(row)
        for source, error in book.failures.items():
            self._report({"name": source, "error": error})
        for key, one in series.items():
            if one.others:
                self._tell(f"{key}: {one.others} objects are no grey images, and stay in the spool")
            complete = all(names[scan.name] in done for scan in one.scans)
            self._mark(key, one.names, failed=not complete)
            if self._work.delete and complete and one.scans and not one.others:
                self._delete(key, one, [c for c in cases if c.scan in one.scans], finished)

    def _found(self, key: str) -> _Series:
        names = self._spool.names(key)
        found = discover(self._spool.root / key)
        scans = [replace(scan, name=f"{key}/{scan.name}") for scan in found.scans]
        held = {path.name for scan in scans for path in scan.files}
        return _Series(names, scans, len(names - held))

    def _name(self, key: str, scan: ScanSource) -> str:
        """Return the name of an output: date and description only where all metadata is kept."""
        name = f"{key}-{scan.series or Path(scan.name).name}"
        generation = self._spool.generation(key)
        if generation:
            name += f"-{generation + 1}"
        if self._work.request.metadata is Metadata.ALL and scan.title:
            return f"{scan.title}_{name}"
        return name

    def _recorded(self, todo: plan.Plan) -> Book:
        """Compress cases, write their outputs and the ledger; return the book of it."""
        working = self._output / ".deepstd-receive"
        if not working.is_symlink():
            shutil.rmtree(working, ignore_errors=True)  # left by a killed run
        make_folder(working)

        def progress(text: str, share: float) -> None:
            self._tell(text)

        book = Book(self._output, self._ledger, self._work.request, todo, working, progress)
        book.note_planned()
        work = self._work
        try:
            with closing(
                local.outcomes(todo.cases, work.worker, work.processes, book.begin)
            ) as outcomes:
                for case, outcome, tries in outcomes:
                    with deferred():  # so that output and ledger agree
                        book.record(case, outcome, tries)
        finally:
            shutil.rmtree(working, ignore_errors=True)
        return book

    def _mark(self, key: str, names: frozenset[str], *, failed: bool) -> None:
        mark = {"names": _digest(names), _FAILED: failed}
        write_whole(self._spool.root / key / _MARK, json.dumps(mark) + "\n")

    def _delete(self, key: str, series: _Series, cases: Sequence[Case], finished: set[str]) -> None:
        """Verify the outputs of a series against its originals, then delete these."""
        known = {case.scan.name for case in cases}
        again = [
            Case(scan, self._spool.root, "", output=self._name(key, scan))
            for scan in series.scans
            if scan.name not in known
        ]
        flush_folder(self._output)  # the outputs' names must last longer than the originals
        verifier = Verifier(self._output, self._work.device)
        todo = [*cases, *again]
        with closing(local.outcomes(todo, verifier, self._work.processes)) as outcomes:
            wrong = {case.name: outcome.error for case, outcome, _ in outcomes if outcome.error}
        for name, error in wrong.items():
            self._report({"name": name, "error": f"{error}. The originals stay in the spool"})
        if not wrong:
            self._spool.delete(key, series.names)
            self._tell(f"{key}: {len(series.names)} originals deleted, all outputs are verified")


class Verifier:
    """Worker that decodes an output and compares it with its originals.

    Args:
        output: folder of the outputs.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, output: Path, device: str) -> None:
        self._output, self._device = output, device

    def start(self, threads: int) -> str | None:
        """Limit the threads of the process; nothing can fail."""
        from deepstd.threads import limit_process

        limit_process(threads)
        return None

    def run(self, case: Case) -> Outcome:
        """Verify one output; what is wrong with it is the error of the outcome."""
        try:
            report = verify(
                output_of(self._output, case.name),
                against=list(case.scan.files),
                series=case.scan.series,
                device=self._device,
            )
        except (DeepSTDError, OSError, MemoryError) as error:
            return Outcome(0.0, error=in_words(error))
        as_stated = report.as_stated
        return Outcome(0.0, error=None if as_stated else "the output is not what it states")


def _digest(names: frozenset[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
