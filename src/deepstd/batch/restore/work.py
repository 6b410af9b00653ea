"""Restoring of one scan after another, in a process of its own.

RestoreCase ─ SHA-256, decode ─▶ a file or folder below the working folder ─▶ Outcome
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from deepstd import api
from deepstd.batch.dataset.sums import digest_of_file
from deepstd.batch.dataset.tree import Stored
from deepstd.batch.models import model_for
from deepstd.batch.work import Outcome, in_words
from deepstd.errors import DamagedError, ExactPartError
from deepstd.inspection import read_container
from deepstd.threads import limit_process, wait_passively


@dataclass(frozen=True)
class RestoreCase:
    """One scan to restore.

    Attributes:
        stored: the compressed scan.
        original: path of the restored scan below the output, with "/" at its end for a folder.
        digest: SHA-256 that the file must have; None where none is stated.
        replaces: an existing output may be replaced.
        attempts: attempts in earlier runs.
    """

    stored: Stored
    original: str
    digest: str | None = None
    replaces: bool = False
    attempts: int = 0

    @property
    def name(self) -> str:
        """Path of the compressed scan."""
        return self.stored.file


class Restorer:
    """Worker that restores scans into a working folder.

    Args:
        working: the folder.
        model: bundle for the files that were written with it; "auto" to find each.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, working: Path, model: str, device: str) -> None:
        self._working, self._model, self._device = working, model, device

    def start(self, threads: int) -> str | None:
        """Set the threads of computations."""
        wait_passively()
        limit_process(threads)
        return None

    def run(self, case: RestoreCase) -> Outcome:
        """Restore one scan; errors are returned in the outcome."""
        began, stored = time.monotonic(), case.stored
        folder = self._working / secrets.token_hex(8)
        last = case.original.rstrip("/").rpartition("/")[2]
        # Without a suffix, a writer could not tell a folder from a file.
        target = f"{folder / last}{os.sep if case.original.endswith('/') else ''}"
        try:
            if case.digest is not None and digest_of_file(stored.path) != case.digest:
                raise DamagedError(
                    "its SHA-256 is not the one that was published. Download it again"
                )
            folder.mkdir()
            model = model_for(read_container(stored.path, lossy_suffices=True), self._model)
            volume = api.decompress(stored.path, target, model=model, device=self._device)
        except ExactPartError as error:
            message = in_words(error).replace(str(folder / last), case.original)
            return _failed(f"{message} It is not kept; `deepstd decompress` writes it", began, case)
        except Exception as error:  # one bad case, of whatever kind, does not stop the rest
            return _failed(in_words(error).replace(str(folder / last), case.original), began, case)
        figures = {
            "restored": str(folder / last),
            "output_hash": digest_of_tree(folder / last),
            "file_bytes": bytes_of_tree(folder / last),
            "notes": list(volume.notes) or None,
        }
        return Outcome(time.monotonic() - began, figures=figures)


def digest_of_tree(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of a folder's files."""
    if not path.is_dir():
        return digest_of_file(path)
    digest = hashlib.sha256()
    for one in sorted(path.iterdir()):
        what = digest_of_file(one) if one.is_file() else "no file"
        digest.update(os.fsencode(one.name) + b"\0" + what.encode() + b"\n")
    return digest.hexdigest()


def bytes_of_tree(path: Path) -> int:
    """Return the bytes of a file, or of a folder's files."""
    parts = path.iterdir() if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts)


def _failed(message: str, began: float, case: RestoreCase) -> Outcome:
    return Outcome(time.monotonic() - began, error=message.removeprefix(f"{case.stored.path}: "))
