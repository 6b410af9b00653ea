"""The files that make a folder of outputs a data set, written at the end of a run.

ledger lines of all runs ─ outputs that are there ─▶ deepstd.tsv, README.deepstd.md, report.html
all of these, side-cars, outputs ─ SHA-256 ─▶ SHA256SUMS, written last
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from deepstd.batch.dataset.bids import MOST_BYTES, with_ours
from deepstd.batch.dataset.copying import Copier
from deepstd.batch.dataset.names import DESCRIPTION, IGNORED, README, REPORT, SUFFIX, TABLE
from deepstd.batch.dataset.readme import readme
from deepstd.batch.dataset.sidecars import Chosen
from deepstd.batch.dataset.sums import digest_of_file, read_sums, write_sums
from deepstd.batch.dataset.table import entries_of, write_table
from deepstd.batch.outputs import has_size, output_of
from deepstd.batch.page.report import write_report
from deepstd.batch.past import read_past
from deepstd.batch.report import SideCars
from deepstd.errors import InputError
from deepstd.io import atomic_path
from deepstd.io.dicom import Item
from deepstd.progress import ShowShare


def copy_sidecars(
    chosen: Chosen, output: Path, working: Path, progress: ShowShare, *, overwrite: bool
) -> SideCars:
    """Copy side-cars, and note their sums; copies that are there already are kept.

    Args:
        chosen: side-cars and data sets of a folder.
        output: folder of the outputs.
        working: folder for half-written copies, on the disk of ``output``.
        progress: called with a sentence and the share of the work done, which is 0 here.
        overwrite: files of another origin may be replaced.

    Raises:
        InputError: the sums of an earlier run are damaged, or cannot be written.
    """
    with _locked(output):
        known = read_sums(output)
        copier = Copier(output, working, known, overwrite=overwrite)
        ignored = {f"{folder}{IGNORED}" for folder in chosen.sets if _is_kept(chosen, folder)}
        for number, one in enumerate(chosen.sidecars):
            if number % 100 == 0:
                progress(f"copying side-cars, {number} of {len(chosen.sidecars)}", 0.0)
            copier.copy(one.name, _with_ours(one.item) if one.name in ignored else one.item)
        for name in sorted(ignored - {one.name for one in chosen.sidecars}):
            copier.copy(name, with_ours(None))
        done = copier.done
        if done.sums:
            write_sums(output, {**known, **done.sums})
    count = len(done.sums)
    return SideCars(count, done.nbytes, chosen.left_out, done.failures)


def publish(output: Path, progress: ShowShare, *, model: str, is_anonymous: bool) -> None:
    """Write table, README, report and sums of a folder of outputs.

    Args:
        output: folder of the outputs, with the ledgers of all runs.
        progress: called with a sentence and the share of the work done, which is 1 here.
        model: bundle for the pictures of files that were written with it; "auto" to find each.
        is_anonymous: the folder has pseudonyms, and no side-cars.

    Raises:
        InputError: a ledger cannot be read, or a file cannot be written.
    """
    with _locked(output):
        rows = [
            past.done
            for name, past in read_past(output).items()
            if past.done is not None
            and has_size(output_of(output, name), past.done.get("file_bytes"))
        ]
        sums = {f"{row['name']}{SUFFIX}": _digest(output, row) for row in rows}
        ours = {TABLE, README, REPORT}
        for name, digest in read_sums(output).items():
            if not name.endswith(SUFFIX) and name not in ours and (output / name).is_file():
                sums[name] = digest
        entries = entries_of(rows)
        write_table(output, entries)
        beside = [n for n in sums if not n.endswith((SUFFIX, IGNORED))]
        text = readme(entries, len(beside))
        with atomic_path(output / README, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
        write_report(output, entries, progress, model=model, is_anonymous=is_anonymous)
        sums.update({name: digest_of_file(output / name) for name in ours})
        write_sums(output, sums)


def _is_kept(chosen: Chosen, folder: str) -> bool:
    return any(one.name == f"{folder}{DESCRIPTION}" for one in chosen.sidecars)


def _with_ours(item: Item) -> Item | bytes:
    """Return the content of a .bidsignore with our lines; the file where it cannot be changed."""
    try:
        if item.nbytes > MOST_BYTES:
            return item
        with item.open() as stream:
            return with_ours(stream.read())
    except (OSError, InputError):
        return item  # copying it fails, with a message


def _digest(output: Path, row: Mapping[str, object]) -> str:
    """Return the SHA-256 of an output as it was written; ledgers of old releases lack it."""
    known = row.get("output_hash")
    return known if isinstance(known, str) else digest_of_file(output_of(output, str(row["name"])))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, so that two parts of a batch write its files one after another."""
    try:
        import fcntl

        number = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows: the last run to end writes the files again
        yield
        return
    try:
        with suppress(OSError):  # of some network disks; the sums are then of the last run to end
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
