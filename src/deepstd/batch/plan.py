"""Plan of a run, given the results of earlier runs.

scans ─ shard ─▶ ours ─┬─ the ledger says so, source and output as then ─▶ finished
                       ├─ output whose line a kill cut off: hash of output and scan ─▶ recovered
                       ├─ output of another origin, or beyond a link ─▶ refused
                       └─ all others: no output, cut off, or the scan was changed ─▶ to compress

Planning reads and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepstd import io
from deepstd.batch.case import Case, Request, fingerprint, state_of
from deepstd.batch.ledger import Row
from deepstd.batch.outputs import (
    A_LINK,
    IN_THE_WAY,
    has_digest,
    has_size,
    is_cut_off,
    leads_outside,
    output_of,
)
from deepstd.batch.past import Past
from deepstd.errors import DeepSTDError, InputError

# Keys of a line "writing" that the line "done" of a recovered output replaces.
_OF_THE_MOMENT = ("ledger", "status", "time", "attempt", "seconds", "request")


@dataclass
class Plan:
    """Cases to do, and cases that are done or refused.

    Attributes:
        cases: scans to compress.
        finished: ledger lines of scans that are done.
        recovered: scans whose output is complete but lacks a line "done", with its fields.
        refused: scans whose output cannot be written, with the reason.
    """

    cases: list[Case] = field(default_factory=list)
    finished: list[Row] = field(default_factory=list)
    recovered: list[tuple[Case, Row]] = field(default_factory=list)
    refused: list[tuple[Case, str]] = field(default_factory=list)


def make_plan(
    scans: Iterable[io.ScanSource],
    root: Path,
    output: Path,
    request: Request,
    past: Mapping[str, Past],
    *,
    overwrite: bool = False,
    names: Mapping[str, str] | None = None,
    is_anonymous: bool = False,
) -> Plan:
    """Divide scans into cases to compress, finished, recovered and refused ones.

    Args:
        scans: scans of this run.
        root: the folder in which they were found.
        output: folder of the outputs.
        request: settings of the compression.
        past: records of the ledgers in ``output``, by the name of the output.
        overwrite: outputs of another request, or of another origin, may be replaced.
        names: names of outputs by the names of scans, where they differ.
        is_anonymous: no message or report may contain names of files.

    Raises:
        InputError: outputs were made with another request and must not be replaced.
    """
    plan = Plan()
    for scan in scans:
        case = Case(
            scan,
            root,
            state_of(scan),
            output=(names or {}).get(scan.name, ""),
            is_anonymous=is_anonymous,
        )
        known = past.get(case.name, Past())
        case = replace(case, attempts=known.attempts)
        target = output_of(output, case.name)
        if leads_outside(output, target):
            plan.refused.append((case, A_LINK))
        elif not os.path.lexists(target):
            plan.cases.append(replace(case, replaces=overwrite))
        else:
            _sort_by_output(plan, case, known, target, request, overwrite)
    return plan


def _sort_by_output(
    plan: Plan, case: Case, known: Past, target: Path, request: Request, overwrite: bool
) -> None:
    """Decide on a case whose output path exists already."""
    writing, done = known.writing, known.done
    if writing is not None and has_digest(target, writing.get("output_hash")):
        same = _is_of(writing, request, target, overwrite)
        if same and writing.get("source_state") == case.state and _is_scan(writing, case, request):
            kept = {k: v for k, v in writing.items() if k not in _OF_THE_MOMENT}
            plan.recovered.append((case, kept))
        else:
            plan.cases.append(replace(case, replaces=True))
        return
    if done is not None:
        same = _is_of(done, request, target, overwrite)
        nbytes = done.get("file_bytes")
        as_written = has_size(target, nbytes)
        if as_written and same and done.get("source_state") == case.state:
            plan.finished.append(done)
            return
        if as_written or is_cut_off(target, nbytes):
            plan.cases.append(replace(case, replaces=True))
            return
    if overwrite:
        plan.cases.append(replace(case, replaces=True))
    else:
        plan.refused.append((case, IN_THE_WAY))


def _is_of(row: Row, request: Request, target: Path, overwrite: bool) -> bool:
    """Return True where the output of a line was made with a request.

    Raises:
        InputError: it was made with another request and must not be replaced.
    """
    made_with = Request.told(row)
    if made_with != request.described and not overwrite:
        raise InputError(
            f"{target}: was compressed with another request ({_in_words(made_with)}; now "
            f"{_in_words(request.described)}). Choose another folder, or allow to overwrite what "
            "is there"
        )
    return made_with == request.described


def _is_scan(row: Row, case: Case, request: Request) -> bool:
    """Return True where a line has the content hash of the scan as it is now."""
    try:
        return row.get("source_hash") == fingerprint(case.read(request.metadata))
    except DeepSTDError:
        return False


def model_of(name: str, version: str, digest: bytes) -> str:
    """Return a bundle's name in the ledger: name, version and the first 8 bytes of its hash."""
    return f"{name} {version} {digest[:8].hex()}"


def _in_words(request: Mapping[str, Any] | None) -> str:
    if request is None:
        return "unknown"
    return ", ".join(f"{str(key).replace('_', '-')} {value}" for key, value in request.items())
