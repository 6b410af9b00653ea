"""Copies of side-cars, each whole or not at all.

SideCar ─ there already, by length and time? ─┬ yes ─▶ kept
                                              └ no ─ working folder, SHA-256 ─ rename ─▶ OUT/name
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from deepstd.batch.dataset.sums import digest_of_file
from deepstd.batch.outputs import A_LINK, leads_outside, make_folder
from deepstd.errors import DeepSTDError
from deepstd.io.dicom import Item

IN_THE_WAY = (
    "there is another file already where its copy belongs. Move it away, or allow to overwrite it"
)
_CHANGED = "is not the file that was published: its SHA-256 differs. Copy or download it again"


@dataclass
class Copied:
    """Result of copying side-cars.

    Attributes:
        sums: SHA-256 of every copy, by its name.
        nbytes: bytes of all copies.
        failures: reason by name of those that could not be copied.
    """

    sums: dict[str, str] = field(default_factory=dict)
    nbytes: int = 0
    failures: dict[str, str] = field(default_factory=dict)


class Copier:
    """Copier of side-cars to a folder.

    Args:
        output: the folder.
        working: folder for half-written copies, on the disk of ``output``.
        known: SHA-256 of files that an earlier run wrote to ``output``; these may be replaced.
        expected: SHA-256 that copies must have, by name.
        overwrite: any file may be replaced.
    """

    def __init__(
        self,
        output: Path,
        working: Path,
        known: Mapping[str, str],
        *,
        expected: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> None:
        self._output, self._working, self._known = output, working, known
        self._expected, self._overwrite = expected or {}, overwrite
        self.done = Copied()

    def copy(self, name: str, source: Item | bytes) -> None:
        """Copy a file, unless its copy is there already; note a failure.

        Args:
            name: path of the copy below the folder.
            source: the file, or the content of the copy.
        """
        try:
            why = self._copied(name, source)
        except OSError as error:
            why = f"cannot be copied ({error.strerror or error})"
        except DeepSTDError as error:
            label = source.label if isinstance(source, Item) else name
            why = str(error).removeprefix(f"{label}: ")
        if why is not None:
            self.done.failures[name] = why

    def _copied(self, name: str, source: Item | bytes) -> str | None:
        target = self._output / name
        if leads_outside(self._output, target):
            return A_LINK
        is_there = os.path.lexists(target)
        time = None
        if isinstance(source, Item) and source.member is None:
            about = source.path.stat()
            time = about.st_mtime_ns
            if is_there:
                there = target.lstat()
                if (there.st_size, there.st_mtime_ns) == (about.st_size, time):
                    self._note(name, self._known.get(name) or digest_of_file(target), target)
                    return None
        make_folder(self._working)
        temporary = self._working / secrets.token_hex(8)
        try:
            with open(temporary, "xb") as stream:
                digest = _fill(stream, source)
            if time is not None:
                os.utime(temporary, ns=(time, time))
            wanted = self._expected.get(name)
            if wanted is not None and isinstance(source, Item) and wanted != digest:
                return _CHANGED
            if is_there:
                found = digest_of_file(target) if target.is_file() else None
                if found == digest and not target.is_symlink():
                    self._note(name, digest, target)
                    return None
                if not self._overwrite and found != self._known.get(name, ""):
                    return IN_THE_WAY
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        self._note(name, digest, target)
        return None

    def _note(self, name: str, digest: str, target: Path) -> None:
        self.done.sums[name] = digest
        self.done.nbytes += target.stat().st_size


def _fill(target: BinaryIO, source: Item | bytes) -> str:
    """Write the content of a copy; return its SHA-256."""
    if isinstance(source, bytes):
        target.write(source)
        return hashlib.sha256(source).hexdigest()
    source.copy_to(target)
    target.flush()
    return digest_of_file(Path(target.name))
