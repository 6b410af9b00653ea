"""Plan of a restoration, given what earlier runs did.

compressed scans ─┬ the ledger says so, source and output as then ─▶ finished
                  ├ output in place whose line a kill cut off ─▶ recovered
                  ├ output of another origin, beyond a link, or of two scans ─▶ refused
                  └ all others ─▶ to restore
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deepstd.batch.dataset.tree import Tree
from deepstd.batch.ledger import Row
from deepstd.batch.outputs import A_LINK, IN_THE_WAY, leads_outside
from deepstd.batch.past import Past
from deepstd.batch.restore.work import RestoreCase, bytes_of_tree, digest_of_tree
from deepstd.errors import DeepSTDError

_TWICE = (
    "would be restored to {original}, where {other} belongs already. Restore one of them with "
    "`deepstd decompress`"
)


@dataclass
class RestorePlan:
    """Cases to do, and cases that are done or refused.

    Attributes:
        cases: scans to restore.
        finished: number of scans that are restored.
        recovered: scans whose output is in place but lacks a line "done", with its fields.
        refused: reason by file of scans that cannot be restored.
    """

    cases: list[RestoreCase] = field(default_factory=list)
    finished: int = 0
    recovered: list[tuple[RestoreCase, Row]] = field(default_factory=list)
    refused: list[tuple[RestoreCase, str]] = field(default_factory=list)


def make_plan(
    tree: Tree, output: Path, past: Mapping[str, Past], *, overwrite: bool
) -> RestorePlan:
    """Divide the scans of a data set; nothing is changed.

    Args:
        tree: the data set.
        output: folder of restored scans.
        past: lines of its ledger, by file.
        overwrite: files of another origin may be replaced.
    """
    plan = RestorePlan()
    taken: dict[str, str] = {}
    for stored in tree.scans:
        known = past.get(stored.file, Past())
        case = RestoreCase(stored, "", tree.sums.get(stored.file), attempts=known.attempts)
        try:
            original = stored.original()
        except (DeepSTDError, OSError) as error:
            told = error.strerror if isinstance(error, OSError) else str(error)
            plan.refused.append((case, str(told).removeprefix(f"{stored.file}: ")))
            continue
        case = RestoreCase(stored, original, case.digest, overwrite, known.attempts)
        other = taken.setdefault(original.rstrip("/"), stored.file)
        target = output / original
        if other != stored.file:
            plan.refused.append((case, _TWICE.format(original=original, other=other)))
        elif leads_outside(output, target):
            plan.refused.append((case, A_LINK))
        elif not os.path.lexists(target) or _is_empty(target):
            plan.cases.append(case)
        else:
            _sort_by_output(plan, case, known, target)
    return plan


def _sort_by_output(plan: RestorePlan, case: RestoreCase, known: Past, target: Path) -> None:
    """Decide on a case whose output path exists already."""
    for row, is_done in ((known.writing, False), (known.done, True)):
        if row is None or target.is_symlink():
            continue
        as_written = _bytes(target) == row.get("file_bytes")
        same = row.get("source_state") == case.stored.state and row.get("to") == case.original
        if is_done and as_written and same:
            plan.finished += 1
            return
        if as_written and digest_of_tree(target) == row.get("output_hash"):
            if same:
                plan.recovered.append((case, row))
            else:  # of an earlier state of the compressed scan
                changed = (case.stored, case.original, case.digest, True, case.attempts)
                plan.cases.append(RestoreCase(*changed))
            return
    if case.replaces:
        plan.cases.append(case)
    else:
        plan.refused.append((case, IN_THE_WAY))


def _bytes(path: Path) -> int:
    try:
        return bytes_of_tree(path)
    except OSError:
        return -1


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())
