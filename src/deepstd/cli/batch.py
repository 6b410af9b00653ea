"""``batch``: compression of all scans in a folder.

SRC_DIR ─ deepstd.batch ─▶ OUT_DIR, its ledger ─▶ Summary, Forecast ─ batch_words ─▶ tables
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepstd.batch.misses import OnMiss
from deepstd.batch.shard import Shard
from deepstd.cli import console, metadata_options, options
from deepstd.errors import InputError
from deepstd.interrupts import INTERRUPTED
from deepstd.rate.effort import NORMAL

OnMissing = Annotated[
    OnMiss | None,
    typer.Option(
        "--on-miss",
        help="With a size and a quality: what becomes of a scan whose file of that size misses "
        "the quality. keep: the file is kept, and the report says so. lossless: the scan is "
        "stored without loss instead. flag: the file is kept, and the scan is listed as "
        "flagged. Default: the scan fails.",
    ),
]


def _shard(text: str) -> Shard:
    try:
        return Shard.of(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def batch(
    source: Annotated[
        Path, typer.Argument(metavar="SRC_DIR", help="Folder of scans, or a zip archive of them.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder for the compressed scans.")
    ],
    ratio: options.Ratio = None,
    bpv: options.Bpv = None,
    max_bytes: options.MaxBytes = None,
    lossless: options.Lossless = False,
    max_error: options.MaxError = None,
    min_psnr: options.MinPsnr = None,
    min_ssim: options.MinSsim = None,
    mae: options.Mae = None,
    with_residual: options.WithResidual = False,
    on_miss: OnMissing = None,
    model: options.Model = "auto",
    effort: options.Effort = NORMAL,
    protect: options.Protect = False,
    device: options.Device = "auto",
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            "-j",
            metavar="N",
            min=1,
            help="Number of scans compressed in parallel. Each takes a process with its share of "
            "the cores and its own memory. Default: 1; with --ray one for each CPU of the cluster, "
            "or each GPU with -d cuda.",
        ),
    ] = None,
    shard: Annotated[
        Shard,
        typer.Option(
            parser=_shard,
            metavar="I/N",
            help="Compress only the I-th of N parts of the scans. N runs, on one machine or "
            "several, share the work.",
        ),
    ] = "1/1",  # pyright: ignore[reportArgumentType]  typer parses it
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List the scans and the action for each, with expected sizes; write nothing.",
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Run on a Ray cluster: auto (RAY_ADDRESS, or the cluster of this machine), local "
            "(a new cluster), ray://HOST:PORT or HOST:PORT.",
        ),
    ] = None,
    anonymous_names: Annotated[
        Path | None,
        typer.Option(
            "--anonymous-names",
            metavar="KEY_FILE",
            help="Replace the names of scans by pseudonyms such as scan-0123456789abcdef, in "
            "outputs, ledger and reports: names of files and folders may identify a patient. "
            "KEY_FILE maps pseudonyms to names. It is created if missing, readable by its owner "
            "alone, and must lie outside of OUT_DIR.",
        ),
    ] = None,
    keep_metadata: metadata_options.KeepMetadata = False,
    drop_metadata: metadata_options.DropMetadata = False,
    safe_private: metadata_options.SafePrivate = False,
    keep_descriptions: metadata_options.KeepDescriptions = False,
    shift_dates: metadata_options.ShiftDates = None,
    keep: metadata_options.Keep = None,
    as_json: options.Json = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace outputs made with another size, bundle, effort, protection or metadata, "
            "and foreign files with the name of an output. Outputs of the same request are always "
            "kept.",
        ),
    ] = False,
) -> None:
    """Compress all scans below a folder.

    Give a size (--ratio, --bpv, --max-bytes) or a quality (--min-psnr, --min-ssim, --mae,
    --max-error, --lossless). It applies to every scan. With a size and a quality, a file that
    misses the quality fails, or is treated as --on-miss says.

    OUT_DIR gets the folder structure of SRC_DIR, and ledger.jsonl with a line for every scan
    compressed or failed. Zip archives are opened and become folders. No output is larger than the
    files of its scan.

    Side-cars (JSON, TSV, bval, bvec, README) are copied, of a BIDS data set all files. JSON files
    that name patients are copied only with --keep-metadata, and none with --drop-metadata and
    --anonymous-names. SHA256SUMS, deepstd.tsv, README.deepstd.md and report.html describe the
    folder; `deepstd restore` restores it, and `deepstd verify` checks it.

    The same command resumes a run that was killed. It compresses changed scans again, and retries
    failed ones. Exit code 3 when some scans failed, 1 when all failed.

    Outputs are named after files and folders, whose names may identify a patient: see
    --anonymous-names. With --keep-metadata, names of DICOM series begin with date and description.
    """
    fidelity = options.Fidelity(lossless, max_error, min_psnr, min_ssim, mae)
    more = {"model": model, "effort": effort, "with_residual": with_residual}
    target = options.target(ratio, bpv, max_bytes, fidelity, **more)
    if on_miss is not None and not target.conditional:
        raise typer.BadParameter("--on-miss needs a size and a quality, such as --min-psnr 40")
    more_kept = (safe_private, keep_descriptions, shift_dates, tuple(keep or ()))
    wishes = metadata_options.Wishes(keep_metadata, drop_metadata, *more_kept)
    wishes.check()
    if anonymous_names is not None and keep_metadata:
        raise typer.BadParameter(
            "--anonymous-names and --keep-metadata exclude each other: the files would name the "
            "patients"
        )
    with console.Progress(f"looking for scans in {source}", bar=not dry_run) as progress:
        from deepstd.batch import run as batches
        from deepstd.batch.report import Forecast, Summary
        from deepstd.cli import batch_words

        job = batches.Job(
            source,
            output,
            target,
            model=model,
            effort=effort,
            metadata=wishes.kept(is_planned=dry_run),
            device=device,
            processes=processes,
            shard=shard,
            overwrite=overwrite,
            ray=ray,
            key_file=anonymous_names,
            on_miss=on_miss,
            with_residual=with_residual,
            protect=protect,
        )
        done = batches.forecast(job) if dry_run else batches.run(job, progress)
    if keep_metadata and not dry_run:
        console.note(f"note: {output} holds all metadata, the patients' identities included")
    if not dry_run:
        wishes.note()
    if anonymous_names is not None:
        _note_names(anonymous_names, has_text=not drop_metadata, is_planned=dry_run)
    if as_json:
        console.result_json(done.to_dict())
    elif isinstance(done, Forecast):
        console.result(batch_words.forecast(done))
    else:
        console.result(batch_words.summary(done))
    if isinstance(done, Summary):
        code = done.exit_code if done.finished else INTERRUPTED
        if code:
            raise typer.Exit(code)


def _note_names(key_file: Path, *, has_text: bool, is_planned: bool) -> None:
    """Print where the names are kept, and what else may reveal them."""
    from deepstd.batch import pseudonyms

    if is_planned:
        if not key_file.exists():
            console.note(f"note: {key_file} is not there yet, so the scans' names will be others")
        return
    console.note(f"note: the scans' names are in {key_file}: keep it, and keep it to yourself")
    if pseudonyms.others_may_read(key_file):
        console.note(f"note: others may read {key_file}; chmod 600 keeps it for its owner")
    if has_text:
        console.note(
            "note: NIfTI headers are stored with their free text, which may name a patient; "
            "--drop-metadata leaves it out"
        )
