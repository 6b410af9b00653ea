"""Files of a data set on disk: compressed scans, side-cars, and what is listed and missing.

DIR ─ walk, links followed ─┬ .dstd ─ deepstd.tsv, or the format in the file ─▶ Stored …
                            ├ written by batch itself, hidden ─▶ neither
                            └ all others ─▶ SideCar …
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deepstd.batch.dataset.names import (
    IGNORED,
    SUFFIX,
    SUMS,
    TABLE,
    is_ours,
    is_plain,
    original_by_format,
)
from deepstd.batch.dataset.sidecars import SideCar
from deepstd.batch.dataset.sums import read_sums
from deepstd.batch.dataset.table import read_table
from deepstd.batch.ledger import ledgers_in
from deepstd.container import read_description
from deepstd.errors import InputError
from deepstd.io.dicom import Item


@dataclass(frozen=True)
class Stored:
    """A compressed scan of a data set.

    Attributes:
        file: path below the data set, with "/".
        path: the file.
        nbytes: its size in bytes.
        state: text that changes with its size and time.
        told: columns of deepstd.tsv; empty without a line there.
    """

    file: str
    path: Path
    nbytes: int
    state: str
    told: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Path without the suffix."""
        return self.file[: -len(SUFFIX)]

    def original(self) -> str:
        """Return the path of the restored scan, with "/" at its end for a folder.

        Raises:
            ContainerError: no table says it, and the file is damaged.
        """
        told = self.told.get("original", "")
        folder, _, last = told.rstrip("/").rpartition("/")
        is_beside = folder == self.file.rpartition("/")[0]
        if last and is_beside and is_plain(told) and not last.startswith("."):
            return told
        with open(self.path, "rb") as stream:
            description = read_description(stream, self.file)
        return original_by_format(self.name, description.head.source_format)


@dataclass(frozen=True)
class Tree:
    """The files of a data set.

    Attributes:
        scans: compressed scans, sorted by file.
        sidecars: other files, sorted by name.
        sums: SHA-256 of files by name, from SHA256SUMS; empty without.
        missing: files that are listed and not there, and links that lead nowhere.
        unreadable: folders that cannot be listed.
    """

    scans: list[Stored]
    sidecars: list[SideCar]
    sums: dict[str, str]
    missing: list[str]
    unreadable: list[str]


def read_tree(folder: Path, without: Path | None = None) -> Tree:
    """Find the files of a data set.

    Args:
        folder: top of the data set.
        without: a folder that is no part of it, even where a link leads there, such as one of
            restored scans.

    Raises:
        InputError: there is no such folder, or no compressed scan in it, or its table or sums are
            damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    told, sums = read_table(folder), read_sums(folder)
    is_batch = (folder / TABLE).is_file() or bool(ledgers_in(folder))
    tree = Tree([], [], sums, [], [])
    for name, path in _walk(folder, without, tree.unreadable):
        try:
            about = path.stat()
        except OSError:
            tree.missing.append(name)
            continue
        if not stat.S_ISREG(about.st_mode):
            continue
        if name.endswith(SUFFIX):
            state = f"{about.st_size}-{about.st_mtime_ns}"
            tree.scans.append(Stored(name, path, about.st_size, state, told.get(name, {})))
        elif name != SUMS and not (is_batch and is_ours(name)):
            tree.sidecars.append(SideCar(name, Item(path)))
    found = {one.file for one in tree.scans} | {one.name for one in tree.sidecars}
    here = (name for name in sums if not is_ours(name))
    tree.missing.extend(name for name in here if name not in found | set(tree.missing))
    if not found and not tree.missing:
        raise InputError(f"{folder}: there is no compressed scan in this folder")
    tree.scans.sort(key=lambda one: one.file)
    tree.sidecars.sort(key=lambda one: one.name)
    return tree


def _walk(root: Path, without: Path | None, unreadable: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of files that are not hidden; no folder is entered twice."""
    entered = set()
    if without is not None and without.exists():
        about = without.stat()
        entered.add((about.st_dev, about.st_ino))

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename).relative_to(root).as_posix())

    for here, folders, names in os.walk(root, onerror=note, followlinks=True):
        about = os.stat(here)
        if (about.st_dev, about.st_ino) in entered:
            folders.clear()
            continue
        entered.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") or name == IGNORED:
                yield path.relative_to(root).as_posix(), path
