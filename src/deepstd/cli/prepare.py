"""``prepare``: scans to a training cache.

SRC … ─ prepare ─▶ CACHE
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstd.cli import console, options
from deepstd.errors import OutputExistsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_MOST_LEFT_OUT_SHOWN = 10


def prepare(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SRC", help="Folders of scans, or single scans.")
    ],
    cache: Annotated[
        Path, typer.Option("--output", "-o", metavar="CACHE", help="Folder to write.")
    ],
    split: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file with lists train, validation and test of file names for each data set. "
            "Default: a tenth of the patients is kept for validation.",
        ),
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Regular expression that matches the patient's name in a scan's path below its "
            "folder. Default: the path up to the first dot of the name; for a DICOM series its "
            "folder.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Gather scans into a training cache."""
    if is_cache(cache) and not overwrite:
        raise OutputExistsError(
            f"{cache}: there is a training cache already. Choose another folder, or --overwrite it"
        )
    with console.Progress("looking for scans", bar=True) as progress:
        console.result(gather(sources, cache, split, patient, progress))


def gather(
    sources: list[Path],
    cache: Path,
    split: Path | None,
    patient: str | None,
    report: Callable[[str, float], None],
    only: Mapping[Path, Collection[str]] | None = None,
) -> str:
    """Prepare a training cache; return a text on its contents.

    Args:
        sources: folders of scans, or single scans.
        cache: folder to write.
        split: JSON file of the lists train, validation and test, or None.
        patient: regular expression for the patient in a scan's path, or None.
        report: called with a sentence and the share done, 0 to 1.
        only: names of the scans to take from each source; None for all.
    """
    from deepstd.train.prepare import prepare as prepare_cache

    done = prepare_cache(sources, cache, splits=split, patient=patient, only=only, report=report)
    lines = [f"{cache}: {done.train} training and {done.validation} validation scans"]
    if done.left_out:
        lines.append(f"left out: {len(done.left_out)} files")
        shown = list(done.left_out.items())[:_MOST_LEFT_OUT_SHOWN]
        lines += [f"  {name}: {reason}" for name, reason in shown]
        if len(shown) < len(done.left_out):
            lines.append("  …")
    return "\n".join(lines)


def is_cache(folder: Path) -> bool:
    """Return True where a folder holds a training cache."""
    return (folder / "cache.json").is_file()
