"""``prepare``: scans to a training cache.

SRC … ─ prepare ─▶ CACHE
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstd.cli import console, options
from deepstd.errors import InputError, OutputExistsError

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
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="SRC is a public data set: ctspine1k, amos, chexpert-small, fastmri-brain, "
            "fastmri-knee or synapse. Its training scans are taken as in the paper, and what is "
            "missing or unexpected is told.",
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="With --layout: at most so many training scans."),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Gather scans into a training cache."""
    if layout is not None:
        _check_layout(sources, layout, given_others=bool(split or patient))
    elif most is not None:
        raise InputError("--most goes with --layout")
    if is_cache(cache) and not overwrite:
        raise OutputExistsError(
            f"{cache}: there is a training cache already. Choose another folder, or --overwrite it"
        )
    with console.Progress("looking for scans", bar=True) as progress:
        if layout is None:
            console.result(gather(sources, cache, split, patient, progress))
        else:
            console.result(_gather_layout(layout, sources[0], cache, most, progress))


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
    text = f"{cache}: {done.train} training and {done.validation} validation scans"
    return "\n".join([console.escaped(text), *_left_out(done.left_out)])


def _check_layout(sources: list[Path], layout: str, *, given_others: bool) -> None:
    """Raise an InputError for options that do not go with --layout."""
    from deepstd.datasets import layout_named

    layout_named(layout)
    if len(sources) != 1:
        raise InputError(f"--layout {layout}: give one folder, that of the data set")
    if given_others:
        raise InputError("--layout divides the scans itself: leave --split and --patient out")


def _gather_layout(
    layout: str,
    folder: Path,
    cache: Path,
    most: int | None,
    report: Callable[[str, float], None],
) -> str:
    """Prepare the cache of a public data set; return a text on its contents."""
    from deepstd.train.layout import prepare_layout

    found = prepare_layout(layout, folder, cache, most=most, report=report)
    lines = [f"{cache}: {found.done.train} training scans of {layout}, no validation scans"]
    lines += [f"note: {remark}" for remark in found.remarks]
    if found.tests:
        lines.append(
            f"{found.tests} test scans: `deepstd evaluate {folder} --protocol {layout} -o FOLDER`"
        )
    return "\n".join([*map(console.escaped, lines), *_left_out(found.done.left_out)])


def _left_out(reasons: Mapping[str, str]) -> list[str]:
    """Return lines on files that were left out."""
    if not reasons:
        return []
    shown = list(reasons.items())[:_MOST_LEFT_OUT_SHOWN]
    lines = [f"left out: {len(reasons)} files"]
    lines += [f"  {console.escaped(f'{name}: {reason}')}" for name, reason in shown]
    return lines + (["  …"] if len(shown) < len(reasons) else [])


def is_cache(folder: Path) -> bool:
    """Return True where a folder holds a training cache."""
    return (folder / "cache.json").is_file()
