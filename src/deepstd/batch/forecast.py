"""The forecast of a batch, from headers alone.

plan ─ headers ─▶ bytes of voxels ─ requested size ─▶ bytes of outputs
     └ ledger lines ─▶ seconds a byte ─▶ time
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepstd import io
from deepstd.batch.case import Case
from deepstd.batch.plan import Plan
from deepstd.batch.report import Forecast, Planned, number
from deepstd.batch.work import too_large
from deepstd.errors import DeepSTDError
from deepstd.rate.target import Target

# Bytes of a voxel where the header is not understood; most scans have 16 bits.
_GUESSED_ITEM_BYTES = 2
DONE, TO_DO, REFUSED, UNREADABLE, TOO_LARGE = "done", "to do", "refused", "unreadable", "too large"


@dataclass(frozen=True)
class _Sizes:
    """Number of voxels of a scan, their bytes, and True where a header states them."""

    voxels: int
    nbytes: int
    is_known: bool


def make_forecast(
    plan: Plan, found: int, target: Target, processes: int, unreadable: dict[str, str]
) -> Forecast:
    """Forecast the sizes and the time of the cases that are left to do.

    Args:
        plan: cases to compress, and cases that are done or refused.
        found: number of scans of this part.
        target: size of each output, or lossless outputs, whose sizes are not known before.
        processes: number of parallel processes.
        unreadable: folders that could not be listed, with the reason.
    """
    problems = dict(unreadable)
    refused = {case.source: why for case, why in plan.refused}
    scans = [_planned(case, REFUSED) for case, _ in plan.refused]
    scans += [_planned(case, DONE) for case, _ in plan.recovered]
    scans += [_done(row) for row in plan.finished]
    stored = outputs = estimated = 0
    for case in plan.cases:
        try:
            sizes = _sizes(case)
        except DeepSTDError as error:
            problems[case.source] = case.without_root(str(error))
            scans.append(_planned(case, UNREADABLE))
            continue
        file_bytes = None
        if not target.sizeless:
            file_bytes = min(target.bytes_for(sizes.voxels, sizes.nbytes), sizes.nbytes)
        if file_bytes and sizes.is_known and 0 < case.scan.nbytes < file_bytes:
            refused[case.source] = too_large(file_bytes, case.scan.nbytes)
            scans.append(_planned(case, TOO_LARGE, sizes.nbytes, file_bytes))
            continue
        scans.append(_planned(case, TO_DO, sizes.nbytes, file_bytes))
        stored += sizes.nbytes
        outputs += file_bytes or 0
        estimated += not sizes.is_known
    speeds = [row for row in plan.finished if isinstance(row.get("seconds"), float)]
    measured = sum(number(row, "stored_bytes") for row in speeds)
    seconds = sum(row["seconds"] for row in speeds) * stored / measured if measured else None
    return Forecast(
        found,
        len(plan.finished) + len(plan.recovered),
        len(plan.cases),
        refused,
        problems,
        sum(case.scan.nbytes for case in plan.cases),
        stored,
        estimated,
        None if target.sizeless else outputs,
        None if seconds is None else seconds / processes,
        sorted(scans, key=lambda scan: scan.name),
    )


def _planned(
    case: Case, state: str, stored_bytes: int | None = None, file_bytes: int | None = None
) -> Planned:
    return Planned(case.source, case.name, state, case.scan.nbytes, stored_bytes, file_bytes)


def _done(row: dict[str, object]) -> Planned:
    sizes = (number(row, key) for key in ("source_bytes", "stored_bytes", "file_bytes"))
    return Planned(str(row.get("source")), str(row["name"]), DONE, *sizes)


def _sizes(case: Case) -> _Sizes:
    if case.scan.sizes is not None:
        return _Sizes(*case.scan.sizes, True)
    is_file = len(case.scan.files) == 1 and not case.scan.members
    declared = io.declared(case.scan.files[0]) if is_file else None
    if declared is not None:
        shape, dtype = declared
        return _Sizes(math.prod(shape), math.prod(shape) * dtype.itemsize, True)
    nbytes = sum(item.nbytes for item in case.scan.items)
    return _Sizes(max(1, nbytes // _GUESSED_ITEM_BYTES), nbytes, False)
