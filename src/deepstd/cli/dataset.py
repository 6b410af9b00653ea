"""``restore``, and ``verify`` of a folder: whole data sets.

DIR ─ deepstd.batch.restore ─▶ OUT, RestoreSummary ─▶ text, JSON
DIR ─ deepstd.batch.check ─▶ a line for each problem, CheckSummary ─▶ text, JSON
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstd.cli import console, options
from deepstd.interrupts import INTERRUPTED

if TYPE_CHECKING:
    from deepstd.batch.check.run import CheckSummary
    from deepstd.batch.restore.run import RestoreSummary

_MOST_SHOWN = 10


def restore(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of compressed scans.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the originals.")],
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
    processes: options.Processes = 1,
    as_json: options.Json = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing files that this command did not write."),
    ] = False,
) -> None:
    """Restore every scan of a folder, and copy its other files.

    OUT gets the original names, formats and folders of the scans, as `deepstd batch` noted them; a
    DICOM series becomes a folder. Without such a note, the format in a file decides. Where DIR has
    SHA256SUMS, each file is compared with its sum first.

    The same command resumes a run that was killed, by a hidden ledger in OUT, and tries failed
    scans again. Exit code 3 when some files failed, 1 when all failed.
    """
    with console.Progress(f"looking for scans in {source}", bar=True) as progress:
        from deepstd.batch.restore import run

        done = run.restore(
            source,
            output,
            progress,
            model=model,
            device=device,
            processes=processes,
            overwrite=overwrite,
        )
    if as_json:
        console.result_json(done.to_dict())
    else:
        console.result(_restored(done, output))
    code = done.exit_code if done.finished else INTERRUPTED
    if code:
        raise typer.Exit(code)


def verify_folder(
    source: Path,
    against: Path | None,
    *,
    decode: bool,
    ledger: Path | None,
    model: str,
    device: str,
    processes: int,
    as_json: bool,
) -> None:
    """Check all files of a folder; print a line for each problem as soon as it is known."""

    def found(name: str, why: str) -> None:
        if not as_json:
            console.result(console.reason(name, why))

    with console.Progress(f"looking for scans in {source}", bar=True) as progress:
        from deepstd.batch.check import run

        done = run.check(
            source,
            progress,
            found,
            against=against,
            decode=decode,
            ledger=ledger,
            model=model,
            device=device,
            processes=processes,
        )
    if as_json:
        console.result_json(done.to_dict())
    else:
        console.result(_checked(done))
    if done.absent:
        shown = ", ".join(done.absent[:_MOST_SHOWN])
        more = f" and {len(done.absent) - _MOST_SHOWN} more" * (len(done.absent) > _MOST_SHOWN)
        console.note(
            f"note: {len(done.absent)} other files of {against} are not here: {shown}{more}"
        )
    code = done.exit_code if done.finished else INTERRUPTED
    if code:
        raise typer.Exit(code)


def _restored(done: RestoreSummary, output: Path) -> str:
    text = f"{done.done} of {done.found} scans restored"
    if done.before:
        text += f", {done.before} of them before"
    text += f"; {done.sidecars} other files copied; {len(done.failures)} failed"
    lines = [f"{text}; {done.seconds:.0f} s; {console.escaped(str(output))}"]
    for title, reasons in (
        ("failed", done.failures),
        ("notes", {name: "; ".join(texts) for name, texts in done.notes.items()}),
    ):
        lines += console.reasons(title, reasons, _MOST_SHOWN)
    if done.missing:
        shown = console.escaped(", ".join(done.missing[:_MOST_SHOWN]))
        lines.append(f"not here, though SHA256SUMS lists them: {len(done.missing)} files: {shown}")
    if not done.finished:
        lines.append("interrupted: the same command goes on from here")
    return "\n".join(lines)


def _checked(done: CheckSummary) -> str:
    what = {
        "hashes": "not decoded",
        "decoded": "decoded",
        "compared": "compared with their originals",
    }[done.how]
    sums = "SHA-256 sums" if done.has_sums else "no SHA256SUMS: the checksums in the files"
    text = f"{done.scans} scans, {what}, and {done.others} other files; {sums}; "
    text += f"{len(done.problems)} problems; {done.seconds:.0f} s"
    if done.before:
        text += f"; {done.before} checked before"
    return text if done.finished else f"{text}\ninterrupted"
