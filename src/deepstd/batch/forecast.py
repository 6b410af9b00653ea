"""What a batch would take and give, from headers alone.

plan ─ headers ─▶ bytes of voxels ─ requested size ─▶ bytes of outputs
     └ ledger lines ─▶ seconds a byte ─▶ time
"""

from __future__ import annotations

import math

from deepstd import io
from deepstd.batch.plan import Case, Plan
from deepstd.batch.report import Forecast, number
from deepstd.errors import DeepSTDError
from deepstd.rate import Target

_GUESSED_ITEM_BYTES = 2


def make_forecast(
    plan: Plan, found: int, target: Target, processes: int, unreadable: dict[str, str]
) -> Forecast:
    """Sizes and time of what is left to do.

    Args:
        plan: what is left to do.
        found: scans of this part.
        target: size of each output.
        processes: how many at once.
        unreadable: folders that could not be listed.
    """
    problems = dict(unreadable)
    stored = outputs = estimated = 0
    for case in plan.cases:
        try:
            voxels, nbytes, known = _sizes(case)
        except DeepSTDError as error:
            problems[case.source] = case.without_root(str(error))
            continue
        stored += nbytes
        outputs += min(target.bytes_for(voxels, nbytes), nbytes)
        estimated += not known
    speeds = [row for row in plan.finished if isinstance(row.get("seconds"), float)]
    measured = sum(number(row, "stored_bytes") for row in speeds)
    seconds = sum(row["seconds"] for row in speeds) * stored / measured if measured else None
    return Forecast(
        found,
        len(plan.finished) + len(plan.recovered),
        len(plan.cases),
        [case.source for case in plan.refused],
        problems,
        sum(case.scan.nbytes for case in plan.cases),
        stored,
        estimated,
        outputs,
        None if seconds is None else seconds / processes,
    )


def _sizes(case: Case) -> tuple[int, int, bool]:
    """Voxels, their bytes, and whether a header said so."""
    if case.scan.sizes is not None:
        return *case.scan.sizes, True
    declared = io.declared(case.scan.files[0]) if len(case.scan.files) == 1 else None
    if declared is None:
        return max(1, case.scan.nbytes // _GUESSED_ITEM_BYTES), case.scan.nbytes, False
    shape, dtype = declared
    return math.prod(shape), math.prod(shape) * dtype.itemsize, True
