"""``batch``: a folder of scans to a folder of compressed ones.

SRC_DIR ─ deepstd.batch ─▶ OUT_DIR, its ledger ─▶ table of sizes saved, exit code
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstd.batch.shard import Shard
from deepstd.cli import console, options
from deepstd.effort import NORMAL
from deepstd.errors import InputError
from deepstd.interrupts import INTERRUPTED

if TYPE_CHECKING:
    from deepstd.batch.report import Forecast, Summary, Total

_MOST_SHOWN = 10
_HEAD = ("data", "scans", "files before", "voxels", "after", "ratio", "saved")


def _shard(text: str) -> Shard:
    try:
        return Shard.of(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def batch(
    source: Annotated[Path, typer.Argument(metavar="SRC_DIR", help="Folder of scans.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder for the compressed scans.")
    ],
    ratio: options.Ratio = None,
    bpv: options.Bpv = None,
    max_bytes: options.MaxBytes = None,
    model: options.Model = "auto",
    effort: options.Effort = NORMAL,
    device: options.Device = "auto",
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            "-j",
            metavar="N",
            min=1,
            help="Scans at once, each in a process with its share of the cores and memory of its "
            "own. Default: 1; with --ray as many as the cluster has CPUs, or GPUs with -d cuda.",
        ),
    ] = None,
    shard: Annotated[
        Shard,
        typer.Option(
            parser=_shard,
            metavar="I/N",
            help="Do only the I-th of N parts, so that N runs, on one machine or many, share the "
            "work.",
        ),
    ] = "1/1",  # pyright: ignore[reportArgumentType]  typer parses it
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Work on a Ray cluster: auto (RAY_ADDRESS, or this machine's), local, "
            "ray://HOST:PORT or HOST:PORT.",
        ),
    ] = None,
    keep_metadata: options.KeepMetadata = False,
    drop_metadata: options.DropMetadata = False,
    as_json: options.Json = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace outputs of another size, bundle, effort or metadata, and files that are "
            "in the way. What is done as asked stays in any case.",
        ),
    ] = False,
) -> None:
    """Compress all scans below a folder.

    Give exactly one of --ratio, --bpv and --max-bytes; it holds for every scan. OUT_DIR gets the
    folders of SRC_DIR, and ledger.jsonl with a line for every scan that was done or failed. The
    same command goes on where a killed one stopped, does scans that were changed again, and tries
    failed ones once more. Exit code 3 when some failed, 1 when all did.
    """
    options.check_rate(ratio, bpv, max_bytes)
    kept = options.metadata(keep=keep_metadata, drop=drop_metadata)
    with console.Progress(f"looking for scans in {source}", bar=not dry_run) as progress:
        from deepstd.batch import run as batches
        from deepstd.batch.report import Forecast, Summary
        from deepstd.io import Metadata
        from deepstd.rate import Target

        job = batches.Job(
            source,
            output,
            Target(ratio, bpv, max_bytes),
            model=model,
            effort=effort,
            metadata=Metadata(kept),
            device=device,
            processes=processes,
            shard=shard,
            overwrite=overwrite,
            ray=ray,
        )
        done = batches.forecast(job) if dry_run else batches.run(job, progress)
    if keep_metadata and not dry_run:
        console.note(f"note: {output} holds all metadata, the patients' identities included")
    if as_json:
        console.result_json(done.to_dict())
    else:
        console.result(_forecast(done) if isinstance(done, Forecast) else _summary(done))
    if isinstance(done, Summary):
        code = done.exit_code if done.finished else INTERRUPTED
        if code:
            raise typer.Exit(code)


def _summary(done: Summary) -> str:
    parts = []
    if done.totals:
        parts.append(console.table(_HEAD, [_cells(total) for total in done.totals]))
    failed = len(done.failures)
    told = f"{done.done} of {done.found} scans done"
    if done.before:
        told += f", {done.before} of them before"
    parts.append(f"{told}; {failed} failed; {done.seconds:.0f} s; {done.ledger}")
    parts += _passed_over(done.passed_over)
    parts += _listed("failed", done.failures)
    if not done.finished:
        parts.append("interrupted: the same command goes on from here")
    return "\n".join(parts)


def _cells(total: Total) -> tuple[str, ...]:
    share = total.saved_bytes / total.source_bytes if total.source_bytes else 0.0
    sizes = (total.source_bytes, total.stored_bytes, total.file_bytes)
    shown = (f"{nbytes:,}" for nbytes in sizes)
    saved = f"{total.saved_bytes:,} ({100 * share:.1f} %)"
    return (total.data, str(total.scans), *shown, f"{total.ratio:.1f}", saved)


def _passed_over(count: int) -> list[str]:
    return [f"{count} DICOM objects that are no grey images passed over"] if count else []


def _forecast(told: Forecast) -> str:
    guessed = f", {told.estimated} of the scans guessed" if told.estimated else ""
    entries = [
        ("scans", f"{told.found}, {told.done} done already, {told.to_do} to do"),
        ("files now", console.size(told.source_bytes)),
        ("voxels", console.size(told.stored_bytes) + guessed),
        ("files after", console.size(told.file_bytes)),
    ]
    if told.seconds is not None:
        entries.append(("time", f"about {told.seconds:.0f} s, as fast as before"))
    in_the_way = dict.fromkeys(told.refused, "a file is in the way of its output")
    return "\n".join(
        [
            console.pairs(entries),
            *_passed_over(told.passed_over),
            *_listed("would be refused", in_the_way),
            *_listed("cannot be read", told.unreadable),
        ]
    )


def _listed(title: str, reasons: dict[str, str]) -> list[str]:
    """The first few of many, a line each."""
    if not reasons:
        return []
    shown = list(reasons.items())[:_MOST_SHOWN]
    lines = [f"{title}:", *(f"  {name}: {' '.join(why.split())}" for name, why in shown)]
    if len(shown) < len(reasons):
        lines.append(f"  … and {len(reasons) - len(shown)} more")
    return lines
