"""Scans of a data set that a protocol selects, and a division of them by fixed seeds.

names ─ order by seeded hashes ─▶ training scans, test scans
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from deepstd.errors import InputError

TRAIN, TEST = "train", "test"
_MOST_NAMED = 3  # files that a remark names


@dataclass(frozen=True)
class Item:
    """A scan that a protocol selects.

    Attributes:
        path: its file.
        name: path below the folder of the data set.
        patient: name of the patient.
        split: "train" or "test".
    """

    path: Path
    name: str
    patient: str
    split: str = TRAIN


@dataclass(frozen=True)
class Selection:
    """Scans that a protocol selects from a folder.

    Attributes:
        items: training and test scans.
        remarks: sentences on what is missing, unexpected or left out.
    """

    items: tuple[Item, ...]
    remarks: tuple[str, ...] = ()

    def of(self, split: str) -> list[Item]:
        """Return the scans of a split."""
        return [item for item in self.items if item.split == split]


def files_below(folder: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield all files below a folder, sorted, with their paths below it; hidden ones are left out.

    Links are followed, but no folder is entered twice.

    Raises:
        InputError: a folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed: {error.strerror}") from error

    seen = {_identity(folder)}
    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        kept = []
        for name in sorted(folders):
            key = _identity(Path(root) / name)
            if not name.startswith(".") and key not in seen:
                seen.add(key)
                kept.append(name)
        folders[:] = kept
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(root) / name
                yield path, PurePosixPath(path.relative_to(folder).as_posix())


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def chosen_by_chance(items: Sequence[Item], seed: str) -> list[Item]:
    """Return items in an order that depends on seed and names alone, on every machine."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}/{item.name}".encode()).digest())


def divided(items: Sequence[Item], train: int, test: int, seed: str) -> list[Item]:
    """Divide scans into training and test scans by chance, with a fixed seed.

    Args:
        items: scans, one for each patient.
        train: training scans of the whole data set.
        test: test scans of the whole data set. Of fewer scans the test has the same share, and at
            least one.
        seed: seed of the division.

    Returns:
        Training scans, then test scans.
    """
    share = test / (train + test)
    count = test if len(items) == train + test else max(1, round(share * len(items)))
    mixed = chosen_by_chance(items, seed)
    parts = [replace(item, split=TEST) for item in mixed[:count]]
    return [replace(item, split=TRAIN) for item in mixed[count:]] + parts


def without_twins(items: Sequence[Item]) -> tuple[list[Item], list[str]]:
    """Keep the first scan of each patient; return the names of the others."""
    known: dict[str, Item] = {}
    twins = []
    for item in items:
        if item.patient in known:
            twins.append(item.name)
        else:
            known[item.patient] = item
    return list(known.values()), twins


def told(count: int, what: str, names: Sequence[str] = ()) -> str:
    """Return a remark: a number, what it counts, and some names."""
    named = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return f"{count} {what}" + (f": {named}" if named else "")
