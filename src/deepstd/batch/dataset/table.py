"""deepstd.tsv: a line for each compressed scan of a data set, with what it restores to.

ledger lines ─ entries_of ─▶ Entry … ─ write_table ─▶ deepstd.tsv ─ read_table ─▶ columns by file
"""

from __future__ import annotations

import csv
import io as streams
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepstd.batch.dataset.names import SUFFIX, TABLE, is_plain, original_by_format
from deepstd.batch.ledger import Row
from deepstd.batch.report import figure, number
from deepstd.errors import InputError
from deepstd.io import atomic_path

_NONE = "n/a"
_FIGURES = ("ratio", "bpv", "psnr", "ssim", "mae", "max_error")
COLUMNS = (
    "file", "original", "format", "dtype", "source_bytes", "voxel_bytes", "file_bytes",
    *_FIGURES, "unit", "exact", "voxels_sha256", "bundle",
)  # fmt: skip
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Entry:
    """One compressed scan.

    Attributes:
        file: path of the .dstd file below the data set.
        original: path of the restored scan, with "/" at its end for a folder.
        row: its line in the ledger.
        exact: True where every voxel comes back bit for bit.
    """

    file: str
    original: str
    row: Row
    exact: bool


def entries_of(rows: Iterable[Row]) -> list[Entry]:
    """Return the entries of ledger lines with status "done", sorted by file."""
    return sorted(map(_entry, rows), key=lambda entry: entry.file)


def write_table(folder: Path, entries: Iterable[Entry]) -> None:
    """Write the table, replacing an earlier one.

    Raises:
        InputError: it cannot be written.
    """
    text = streams.StringIO()
    writer = csv.writer(text, "excel-tab", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(COLUMNS)
    for entry in entries:
        cells = _cells(entry)
        writer.writerow([cells[column] for column in COLUMNS])
    with atomic_path(folder / TABLE, overwrite=True) as temporary:
        data = text.getvalue().encode("utf-8", errors="surrogateescape")
        temporary.write_bytes(data)


def read_table(folder: Path) -> dict[str, dict[str, str]]:
    """Read the table; return the columns of each line by file, or nothing where there is none.

    Raises:
        InputError: it cannot be read, or a line leads out of the folder.
    """
    path = folder / TABLE
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: too large for a table of scans. Remove it")
        text = path.read_bytes().decode("utf-8", errors="surrogateescape")
        lines = list(csv.DictReader(streams.StringIO(text, newline=""), dialect="excel-tab"))
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}). Download it again") from error
    found = {}
    for line in lines:
        file, original = line.get("file"), line.get("original")
        if not file or not original or not is_plain(file) or not is_plain(original):
            raise InputError(
                f"{path}: names a file outside of this folder, or none. It is damaged: download it "
                "again, or remove it, and restored scans get names after their .dstd files"
            )
        found[file] = {key: value for key, value in line.items() if key and value}
    return found


def _entry(row: Row) -> Entry:
    name, told = str(row["name"]), row.get("original")
    original = told if isinstance(told, str) else _by_source(row)
    exact = row.get("voxels_sha256") is not None or figure(row, "max_error") == 0
    return Entry(f"{name}{SUFFIX}", original, row, exact)


def _by_source(row: Row) -> str:
    """Return the original's path for the line of an earlier release, which does not state it."""
    source, name = str(row.get("source", "")), str(row["name"])
    by_format = original_by_format(name, str(row.get("format")))
    return by_format if source == name else original_by_format(source, str(row.get("format")))


def _cells(entry: Entry) -> Mapping[str, Any]:
    row = entry.row
    figures = {key: figure(row, key) for key in _FIGURES}
    return {
        "file": _plain(entry.file),
        "original": _plain(entry.original),
        "format": row.get("format", _NONE),
        "dtype": row.get("dtype", _NONE),
        "source_bytes": number(row, "source_bytes"),
        "voxel_bytes": number(row, "stored_bytes"),
        "file_bytes": number(row, "file_bytes"),
        **{key: _NONE if value is None else f"{value:.6g}" for key, value in figures.items()},
        "unit": row.get("unit") or _NONE,
        "exact": "true" if entry.exact else "false",
        "voxels_sha256": row.get("voxels_sha256") or _NONE,
        "bundle": row.get("bundle") or _NONE,
    }


def _plain(name: str) -> str:
    """Return a name of one line that `read_table` takes, whatever the file is called."""
    return re.sub(r"[\x00-\x1f\x7f\\]|^[A-Za-z](?=:)|(?<![^/])~(?![^/])", "?", name)
