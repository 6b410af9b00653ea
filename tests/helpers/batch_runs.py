"""Batches that compress nothing, what they leave, and how they are killed."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd.batch.case import Case, fingerprint
from deepstd.batch.ledger import Ledger
from deepstd.batch.work import Outcome
from deepstd.errors import DeepSTDError
from deepstd.io import KeptMetadata, Metadata


class Killed(BaseException):
    """The end of a process, after which nothing is tidied up."""


@contextmanager
def killed(where: str, name: str) -> Iterator[None]:
    """End a run before or after one of the steps that put the output of a name in its place.

    The steps are "rename" and the lines of the ledger, by their status.
    """
    append, move = Ledger.append, os.replace
    with pytest.MonkeyPatch.context() as patched:

        def die(now: bool) -> None:
            if now:
                patched.setattr(Path, "unlink", lambda self, missing_ok=False: None)
                patched.setattr(shutil, "rmtree", lambda path, ignore_errors=False: None)
                raise Killed

        def appending(ledger: Ledger, row: Mapping[str, Any]) -> Any:
            die(row["name"] == name and where == f"before {row['status']}")
            told = append(ledger, row)
            die(row["name"] == name and where == f"after {row['status']}")
            return told

        def moving(source: Any, target: Any) -> None:
            mine = Path(target).stem == name.rpartition("/")[2]
            die(mine and where == "before rename")
            move(source, target)
            die(mine and where == "after rename")

        patched.setattr(Ledger, "append", appending)
        patched.setattr(os, "replace", moving)
        with pytest.raises(Killed):
            yield


def fake_outcome(case: Case, metadata: KeptMetadata = Metadata.DEIDENTIFIED) -> Outcome:
    """An output that tells which scan it is of, with figures that follow from the voxels."""
    try:
        volume = case.read(metadata)
    except DeepSTDError as error:
        return Outcome(0.1, error=case.without_root(str(error)))
    source_hash = fingerprint(volume)
    data = f"output of {source_hash}".encode()
    error = float(np.std(volume.voxels))
    figures: dict[str, Any] = {
        "format": volume.source.format,
        "dtype": volume.voxels.dtype.name,
        "voxels": volume.voxels.size,
        "stored_bytes": volume.nbytes,
        "file_bytes": len(data),
        "ratio": volume.nbytes / len(data),
        "mae": error,
        "psnr": math.inf if error == 0 else 60 - error,
        "ssim": 1 / (1 + error),
        "source_hash": source_hash,
    }
    return Outcome(0.1, data, figures)


def quiet(text: str, share: float) -> None:
    """Take what a run says."""


def rows_in(folder: Path, status: str | None = None) -> list[dict[str, Any]]:
    """The lines of all ledgers in a folder, of one status or of all."""
    paths = sorted(folder.glob("ledger*.jsonl"))
    rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [row for row in rows if status in (None, row["status"])]


# Files that a run writes at its end, after its last output.
PUBLISHED = ("README.deepstd.md", "SHA256SUMS", "deepstd.tsv", "report.html")


def outputs_in(folder: Path) -> dict[str, bytes]:
    """Contents of the files below a folder but those that a run writes at its end."""
    return {name: data for name, data in files_in(folder).items() if name not in PUBLISHED}


def files_in(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder, by their names; links are not followed."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
