"""A whole batch: plan, copy side-cars, compress, write, record, publish.

Job ─ discover, plan ─▶ cases ─ executor ─▶ outcomes ─ store ─▶ OUT_DIR/name.dstd ─▶ ledger
     ├ side-cars ─▶ copies in OUT_DIR        table, README, report, sums ◀─ publish ─┤
     └ forecast ─▶ Forecast, nothing written                                         └▶ Summary

Processes and actors only compute; this process alone writes. A kill at any time loses the cases
under way and nothing else.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from deepstd import bundle as bundles
from deepstd.batch import ledger as ledgers
from deepstd.batch import local, plan, pseudonyms, ray_executor, report
from deepstd.batch.book import Book
from deepstd.batch.case import Case, Request
from deepstd.batch.dataset.finish import copy_sidecars, publish
from deepstd.batch.dataset.sidecars import Chosen, SideCar, choose
from deepstd.batch.ledger import Ledger
from deepstd.batch.misses import OnMiss, misses
from deepstd.batch.names import output_names
from deepstd.batch.outputs import make_folder
from deepstd.batch.past import Past, read_past
from deepstd.batch.shard import Shard
from deepstd.batch.signals import deferred
from deepstd.batch.work import AUTO, Compressor, Outcome
from deepstd.errors import InputError
from deepstd.io import Discovered, KeptMetadata, Metadata, ScanSource, check_folder, discover
from deepstd.preflight import check_devices
from deepstd.progress import ShowShare
from deepstd.rate.effort import NORMAL
from deepstd.rate.target import Target, check_alone, check_protected, check_residual


@dataclass(frozen=True)
class Job:
    """The settings of a batch.

    Attributes:
        source: folder of scans, or a zip archive.
        output: folder for the compressed scans and the ledger.
        target: size of each output, or lossless outputs.
        model: bundle by name or folder, or "auto".
        effort: "fast", "normal" or "best".
        metadata: which information beside voxels and geometry is stored.
        device: "auto", "cpu", "cuda" or "cuda:N".
        processes: parallel processes; None for one here, or one per CPU or GPU of a Ray cluster.
        shard: the part of the scans to compress.
        overwrite: outputs of another request or origin may be replaced.
        ray: address of a Ray cluster, or None to work on this machine.
        key_file: file of names and pseudonyms, where outputs, ledger and reports are to have
            pseudonyms; None for the scans' own names.
        on_miss: what is done with a file of the requested size that misses the quality asked for;
            None to let the scan fail.
        with_residual: whether outputs get an exact part.
        protect: whether regions that the bundle explains badly get the fidelity of the rest.
    """

    source: Path
    output: Path
    target: Target
    model: str = AUTO
    effort: str = NORMAL
    metadata: KeptMetadata = Metadata.DEIDENTIFIED
    device: str = "auto"
    processes: int | None = None
    shard: Shard = field(default_factory=Shard)
    overwrite: bool = False
    ray: str | None = None
    key_file: Path | None = None
    on_miss: OnMiss | None = None
    with_residual: bool = False
    protect: bool = False


@dataclass(frozen=True)
class _Begun:
    """Scans found, and the request in the forms that ledger and processes need.

    Attributes:
        found: scans of all parts, and other files.
        chosen: scans of all parts, and files to copy.
        scans: scans of this part.
        root: the folder that names are relative to.
        request: settings as the ledger states them.
        model: bundle as processes find it: name, absolute folder or "auto".
    """

    found: Discovered
    chosen: Chosen
    scans: list[ScanSource]
    root: Path
    request: Request
    model: str


def run(job: Job, progress: ShowShare) -> report.Summary:
    """Compress the scans below a folder, resuming an earlier run.

    Args:
        job: settings of the batch.
        progress: called with a sentence and the share done, 0 to 1.

    Raises:
        InputError: there is no scan, another run is at work, outputs were made with another
            request, or the output folder is gone or full.
        BundleError, DeviceError, MissingExtraError: no case can be compressed.
    """
    began = time.monotonic()
    begun = _begin(job)
    passed = report.by_kind(begun.chosen.passed, is_anonymous=job.key_file is not None)
    if passed:
        progress("passing over " + ", ".join(f"{one.count} {one.kind}" for one in passed), 0.0)
    known = None
    if job.key_file is not None:
        known = pseudonyms.keep(job.key_file, job.output, begun.chosen.scans)
    try:
        job.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{job.output}: cannot be written ({error.strerror})") from error
    with Ledger(ledgers.path_of(job.output, job.shard)) as ledger:
        todo = _planned(job, begun, read_past(job.output), known)
        working = job.output / f".deepstd-batch{job.shard.label}"
        if not working.is_symlink():
            shutil.rmtree(working, ignore_errors=True)  # left by a killed run
        make_folder(working)
        sidecars = report.SideCars()
        if job.shard.index == 1:  # as unreadable folders
            sidecars = copy_sidecars(
                begun.chosen, job.output, working, progress, overwrite=job.overwrite
            )
        book = Book(job.output, ledger, begun.request, todo, working, progress)
        book.note_planned()
        worker = Compressor(begun.request, begun.model, job.device)
        finished = True
        try:
            with closing(_executed(job, worker, todo.cases, book)) as outcomes:
                for case, outcome, tries in outcomes:
                    with deferred():  # so that output, ledger and summary agree
                        book.record(case, outcome, tries)
        except KeyboardInterrupt:
            finished = False
        finally:
            shutil.rmtree(working, ignore_errors=True)
        if finished and book.rows and ledger.is_in_place:
            publish(job.output, progress, model=begun.model, is_anonymous=known is not None)
    return report.Summary(
        len(begun.scans),
        len(book.rows),
        len(todo.finished),
        {**sidecars.failures, **book.failures, **_unreadable(begun.found, job, known)},
        report.totals(book.rows),
        finished,
        time.monotonic() - began,
        str(ledger.path),
        report.worst(book.rows),
        passed,
        misses(book.rows),
        report.unfamiliar(book.rows),
        sidecars,
        report.protected(book.rows),
    )


def forecast(job: Job) -> report.Forecast:
    """Forecast the results of `run` from headers; nothing is written.

    Raises:
        InputError: there is no scan, outputs were made with another request, or the output folder
            cannot be used.
        BundleError, DeviceError: no case could be compressed.
    """
    from deepstd.batch.forecast import make_forecast

    begun = _begin(job)
    ledgers.check(ledgers.path_of(job.output, job.shard))
    known = None
    if job.key_file is not None:
        pseudonyms.check_place(job.key_file, job.output)
        known = pseudonyms.load(job.key_file)
    forecasted = make_forecast(
        _planned(job, begun, read_past(job.output), known),
        len(begun.scans),
        job.target,
        job.processes or 1,
        _unreadable(begun.found, job, known),
    )
    passed = report.by_kind(begun.chosen.passed, is_anonymous=known is not None)
    sidecars = report.SideCars(
        len(begun.chosen.sidecars),
        sum(_bytes(one) for one in begun.chosen.sidecars),
        begun.chosen.left_out,
    )
    return replace(forecasted, passed_over=passed, sidecars=sidecars)


def _bytes(sidecar: SideCar) -> int:
    try:
        return sidecar.item.nbytes
    except (OSError, InputError):
        return 0  # copying it fails, with a message


def _begin(job: Job) -> _Begun:
    is_archive = job.source.is_file() and job.source.name.lower().endswith(".zip")
    if not job.source.is_dir() and not is_archive:
        raise InputError(f"{job.source}: no such folder, nor a zip archive")
    check_alone(job.target, job.model, job.effort)
    check_residual(job.target, with_residual=job.with_residual)
    check_protected(job.target, protect=job.protect)
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
    chosen = choose(
        found.scans,
        found.passed_over,
        job.metadata,
        job.source,
        job.output,
        is_anonymous=job.key_file is not None,
    )
    if not chosen.scans and not found.unreadable:
        raise InputError(f"{job.source}: there is no scan in this folder")
    return _Begun(
        found,
        chosen,
        [scan for scan in chosen.scans if job.shard.holds(scan.name)],
        job.source.parent if is_archive else job.source,
        Request(
            *(job.target, described, job.effort, job.metadata, job.on_miss),
            with_residual=job.with_residual,
            protect=job.protect,
        ),
        model,
    )


def _planned(
    job: Job,
    begun: _Begun,
    past: Mapping[str, Past],
    known: pseudonyms.Pseudonyms | None,
) -> plan.Plan:
    return plan.make_plan(
        begun.scans,
        begun.root,
        job.output,
        begun.request,
        past,
        overwrite=job.overwrite,
        names=output_names(begun.chosen.scans, job.metadata, past, known),
        is_anonymous=known is not None,
    )


def _unreadable(found: Discovered, job: Job, known: pseudonyms.Pseudonyms | None) -> dict[str, str]:
    """Return folders that could not be listed; only the first part of a batch reports them."""
    if job.shard.index != 1:
        return {}
    names = (path.relative_to(job.source).as_posix() for path in found.unreadable)
    shown = (name if known is None else known.of(name, "folder") for name in names)
    return {name: "the folder cannot be listed. Allow to read it" for name in shown}


def _executed(
    job: Job, worker: Compressor, cases: Sequence[Case], book: Book
) -> Generator[tuple[Case, Outcome, int]]:
    if job.ray is None:
        return local.outcomes(cases, worker, job.processes or 1, book.begin)
    on_gpu = job.device.partition(":")[0] == "cuda"
    return ray_executor.outcomes(
        cases,
        worker,
        job.ray,
        job.processes,
        on_gpu=on_gpu,
        tell=book.tell,
        begin=book.begin,
    )
