"""A whole check: which files to look at, and the problems found.

tree ─┬ listed and missing, not listed, without an original ─▶ problems at once
      └ cases ─ those that a ledger has as checked are skipped ─ processes ─▶ problems
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deepstd import io
from deepstd.batch import local
from deepstd.batch.case import state_of
from deepstd.batch.check.work import CheckCase, Checker
from deepstd.batch.dataset.names import IGNORED, README, REPORT, SUFFIX, TABLE
from deepstd.batch.dataset.sidecars import choose
from deepstd.batch.dataset.tree import Tree, read_tree
from deepstd.batch.ledger import DONE, FAILED, Ledger, rows_of
from deepstd.batch.names import output_names
from deepstd.batch.pseudonyms import is_pseudonym
from deepstd.batch.signals import deferred
from deepstd.batch.work import AUTO
from deepstd.errors import InputError
from deepstd.preflight import check_devices
from deepstd.progress import ShowShare

_MISSING = "missing: SHA256SUMS lists it"
_UNLISTED = "SHA256SUMS does not list it"
_UNNAMED = "has a pseudonym, so its original is not known. Check it without --against"


@dataclass(frozen=True)
class CheckSummary:
    """The results of a check.

    Attributes:
        scans: number of compressed scans.
        others: number of other files that were checked.
        checked: number of files that were checked in this run.
        before: number of files that an earlier run had checked, as the ledger says.
        how: "hashes", "decoded" or "compared": what was done to scans.
        has_sums: there are SHA-256 sums of the files.
        problems: one sentence by name of each file with a problem.
        absent: side-cars of the originals that the data set does not have.
        finished: every file was tried; False after Ctrl-C.
        seconds: duration of the run.
    """

    scans: int
    others: int
    checked: int
    before: int
    how: str
    has_sums: bool
    problems: dict[str, str]
    absent: list[str]
    finished: bool
    seconds: float

    @property
    def exit_code(self) -> int:
        """Exit code of the command. 0: all is well; 3: some files have problems; 1: all have."""
        if not self.problems:
            return 0
        return 3 if len(self.problems) < self.scans + self.others else 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def check(
    folder: Path,
    progress: ShowShare,
    found: Callable[[str, str], None],
    *,
    against: Path | None = None,
    decode: bool = False,
    ledger: Path | None = None,
    model: str = AUTO,
    device: str = "auto",
    processes: int = 1,
) -> CheckSummary:
    """Check all files of a data set.

    Args:
        folder: top of the data set.
        progress: called with a sentence and the share done, 0 to 1.
        found: called with name and sentence of each problem, as soon as it is known.
        against: folder of the originals, to compare with; None to check by stated hashes.
        decode: compressed scans are decoded.
        ledger: file of results, by which a later run passes over what was checked and has not
            changed since; None to keep none.
        model: bundle for the files that were written with it; "auto" to find each.
        device: "auto", "cpu", "cuda" or "cuda:N".
        processes: number of parallel processes.

    Raises:
        InputError: there is no data set, or the ledger cannot be written.
        BundleError, DeviceError: no scan can be decoded.
    """
    began = time.monotonic()
    check_devices(device)
    tree = read_tree(folder)
    problems: dict[str, str] = {}

    def note(name: str, why: str) -> None:
        problems[name] = why
        found(name, why)

    for name in sorted(tree.missing):
        note(name, _MISSING if name in tree.sums else "a link to a file that is not there")
    for name in tree.unreadable:
        note(name, "the folder cannot be listed. Allow to read it")
    for one in tree.scans:
        if tree.sums and one.file not in tree.sums:
            note(one.file, _UNLISTED)
    cases, absent = _cases(tree, folder), list[str]()
    if against is not None:
        cases, absent = _with_originals(cases, against, folder, note)
    cases = [
        case
        for case in cases
        if case.name not in problems and (case.is_scan or case.digest or case.source)
    ]
    how = "compared" if against is not None else "decoded" if decode else "hashes"
    finished, checked = True, 0
    with ExitStack() as stack:
        book = stack.enter_context(Ledger(ledger)) if ledger is not None else None
        todo = cases if ledger is None else _left(cases, ledger, how)
        whole, read = sum(case.nbytes for case in todo) or 1, 0

        def begin(case: CheckCase) -> None:
            text = f"{checked} of {len(todo)}, {len(problems)} problems: {case.name}"
            progress(text, read / whole)

        worker = Checker(decode, model, device)
        try:
            with closing(local.outcomes(todo, worker, processes, begin)) as outcomes:
                for case, outcome, tries in outcomes:
                    with deferred():
                        checked, read = checked + 1, read + case.nbytes
                        if outcome.error is not None:
                            note(case.name, outcome.error)
                        if book is not None:
                            is_good = outcome.error is None
                            row = {"name": case.name, "status": DONE if is_good else FAILED}
                            row |= {"error": outcome.error} if outcome.error else {}
                            facts = {"state": case.state, "how": how, "attempt": tries}
                            book.append({**row, **facts})
        except KeyboardInterrupt:
            finished = False
    others = sum(not case.is_scan for case in cases)
    return CheckSummary(
        *(len(tree.scans), others, checked, len(cases) - len(todo), how),
        *(bool(tree.sums), problems, absent, finished, time.monotonic() - began),
    )


def _cases(tree: Tree, folder: Path) -> list[CheckCase]:
    cases = []
    for one in tree.scans:
        digest, voxels = tree.sums.get(one.file), one.told.get("voxels_sha256", "n/a")
        case = CheckCase(one.file, one.path, True, one.nbytes, one.state, digest)
        cases.append(replace(case, voxels=None if voxels == "n/a" else voxels))
    listed = [(one.name, one.item.path) for one in tree.sidecars]
    listed += [(name, folder / name) for name in (TABLE, README, REPORT) if name in tree.sums]
    for name, path in listed:
        if path.is_file():
            about = path.stat()
            state = f"{about.st_size}-{about.st_mtime_ns}"
            digest = tree.sums.get(name)
            cases.append(CheckCase(name, path, False, about.st_size, state, digest))
    return cases


def _with_originals(
    cases: list[CheckCase], against: Path, folder: Path, note: Callable[[str, str], None]
) -> tuple[list[CheckCase], list[str]]:
    """Give each case its original; note what has none, and originals that are not there.

    Returns:
        The cases, and names of side-cars that only the originals have.
    """
    if not against.is_dir() and not against.is_file():
        raise InputError(f"{against}: no such folder, nor a zip archive")
    everything = io.discover(against)
    chosen = choose(
        *(everything.scans, everything.passed_over, io.Metadata.ALL, against, folder),
        is_anonymous=False,
    )
    titled = output_names(chosen.scans, io.Metadata.ALL, {}, None)
    by_name = {titled[scan.name]: scan for scan in chosen.scans}
    by_name |= {scan.name: scan for scan in chosen.scans}
    sources = {one.name: one.item for one in chosen.sidecars}
    found, used = [], set()
    for case in cases:
        if not case.is_scan:
            source = sources.get(case.name)
            if source is not None and _is_same_kind(case):
                case = replace(case, source=source)
            found.append(case)
            continue
        name = case.name.removesuffix(SUFFIX)
        scan = by_name.get(name)
        if scan is None:
            why = _UNNAMED if is_pseudonym(name) else f"there is no such scan in {against}"
            note(case.name, why)
            continue
        used.add(scan.name)
        state = f"{case.state}-{state_of(scan)}"
        found.append(replace(case, scan=scan, state=state))
    for scan in chosen.scans:
        if scan.name not in used:
            note(f"{scan.name}{SUFFIX}", f"missing: there is an original in {against}")
    there = {case.name for case in cases}
    return found, sorted(name for name in sources if name not in there)


def _is_same_kind(case: CheckCase) -> bool:
    """Return True unless the file is a .bidsignore, to which lines were added."""
    return case.name.rpartition("/")[2] != IGNORED


def _left(cases: list[CheckCase], ledger: Path, how: str) -> list[CheckCase]:
    """Return the cases that no earlier run has checked as thoroughly, or that have changed."""
    past = {row["name"]: row for row in rows_of(ledger)}
    order = ("hashes", "decoded", "compared")

    def is_done(case: CheckCase) -> bool:
        row = past.get(case.name, {})
        same = row.get("status") == DONE and row.get("state") == case.state
        return same and row.get("how") in order[order.index(how) :]

    return [case for case in cases if not is_done(case)]
