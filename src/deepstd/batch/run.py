"""A whole batch: plan, work, write, record.

Job ─ discover, plan ─▶ cases ─ executor ─▶ outcomes ─ store ─▶ OUT_DIR/name.dstd ─▶ ledger
     └ forecast ─▶ Forecast, nothing written                                └▶ Summary

Processes and actors only compute; this process alone writes. A kill at any moment loses the cases
under way and nothing else.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from deepstd import bundle as bundles
from deepstd.batch import ledger as ledgers
from deepstd.batch import local, plan, ray_executor, report
from deepstd.batch.book import Book, Progress
from deepstd.batch.ledger import Ledger
from deepstd.batch.shard import Shard
from deepstd.batch.signals import deferred
from deepstd.batch.work import AUTO, Compressor, Outcome
from deepstd.effort import NORMAL
from deepstd.errors import InputError
from deepstd.io import Discovered, Metadata, check_folder, discover
from deepstd.preflight import check_devices
from deepstd.rate import Target


@dataclass(frozen=True)
class Job:
    """What `run` is asked for.

    Attributes:
        source: folder of scans.
        output: folder for the compressed scans and the ledger.
        target: size of each.
        model: bundle by name or folder, or "auto".
        effort: "fast", "normal" or "best".
        metadata: which information beside voxels and geometry is stored.
        device: "auto", "cpu", "cuda" or "cuda:N".
        processes: how many at once; None for one here, or one per CPU or GPU of a Ray cluster.
        shard: the part of the scans to do.
        overwrite: whether outputs of another request or origin may be replaced.
        ray: address of a Ray cluster, or None to work on this machine.
    """

    source: Path
    output: Path
    target: Target
    model: str = AUTO
    effort: str = NORMAL
    metadata: Metadata = Metadata.DEIDENTIFIED
    device: str = "auto"
    processes: int | None = None
    shard: Shard = field(default_factory=Shard)
    overwrite: bool = False
    ray: str | None = None


def run(job: Job, progress: Progress) -> report.Summary:
    """Compress the scans below a folder, going on where an earlier run stopped.

    Args:
        job: what to do.
        progress: called with a sentence and the share done.

    Raises:
        InputError: nothing to do, another run at work, or outputs of another request.
        BundleError, DeviceError, MissingExtraError: no case could be done.
    """
    began = time.monotonic()
    found, request, model = _begin(job)
    names = [scan for scan in found.scans if job.shard.holds(scan.name)]
    if found.passed_over:
        progress(f"passing over {len(found.passed_over)} DICOM objects that are no grey images", 0)
    try:
        job.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{job.output}: cannot be written ({error.strerror})") from error
    is_ours = ledgers.read_past(job.output) is not None
    with Ledger(ledgers.path_of(job.output, job.shard)) as ledger:
        past = ledgers.read_past(job.output) if is_ours else None
        todo = plan.make_plan(names, job.source, job.output, request, past, overwrite=job.overwrite)
        working = job.output / f".deepstd-batch{job.shard.label}"
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir(exist_ok=True)
        book = Book(job.output, ledger, request, todo, working, progress)
        book.note_planned()
        worker = Compressor(request, model, job.device)
        finished = True
        try:
            with closing(_executed(job, worker, todo.cases, progress)) as outcomes:
                for case, outcome, tries in outcomes:
                    with deferred():  # so that output, ledger and summary agree
                        book.record(case, outcome, tries)
        except KeyboardInterrupt:
            finished = False
        finally:
            shutil.rmtree(working, ignore_errors=True)
    failures = {**book.failures, **_unreadable(found, job)}
    return report.Summary(
        len(names),
        len(book.rows),
        len(todo.finished),
        failures,
        report.totals(book.rows),
        finished,
        time.monotonic() - began,
        str(ledger.path),
        len(found.passed_over),
    )


def forecast(job: Job) -> report.Forecast:
    """What `run` would do; writes nothing. Raises as `run`."""
    from deepstd.batch.forecast import make_forecast

    found, request, _ = _begin(job)
    names = [scan for scan in found.scans if job.shard.holds(scan.name)]
    past = ledgers.read_past(job.output)
    todo = plan.make_plan(names, job.source, job.output, request, past, overwrite=job.overwrite)
    forecasted = make_forecast(
        todo, len(names), job.target, job.processes or 1, _unreadable(found, job)
    )
    return replace(forecasted, passed_over=len(found.passed_over))


def _begin(job: Job) -> tuple[Discovered, plan.Request, str]:
    """The scans, the request as the ledger has it, and the bundle as processes find it."""
    if not job.source.is_dir():
        raise InputError(f"{job.source}: no such folder")
    check_folder(job.output)
    check_devices(job.device)
    model, described = job.model, AUTO
    if model != AUTO:
        bundle = bundles.load(bundles.find(model))
        reference = bundle.reference
        described = plan.model_of(reference.name, reference.version, reference.digest)
        if Path(model).is_dir() and (Path(model) / "bundle.json").is_file():
            model = os.path.abspath(model)
    found = discover(job.source)
    if not found.scans and not found.unreadable:
        raise InputError(f"{job.source}: there is no scan in this folder")
    return found, plan.Request(job.target, described, job.effort, job.metadata), model


def _unreadable(found: Discovered, job: Job) -> dict[str, str]:
    """Folders that could not be listed; the first part of a batch answers for them."""
    if job.shard.index != 1:
        return {}
    names = (path.relative_to(job.source).as_posix() for path in found.unreadable)
    return {name: "the folder cannot be listed. Allow to read it" for name in names}


def _executed(
    job: Job, worker: Compressor, cases: Sequence[plan.Case], progress: Progress
) -> Generator[tuple[plan.Case, Outcome, int]]:
    if job.ray is None:
        return local.outcomes(cases, worker, job.processes or 1)
    on_gpu = job.device.partition(":")[0] == "cuda"
    return ray_executor.outcomes(
        cases, worker, job.ray, job.processes, on_gpu=on_gpu, progress=progress
    )
