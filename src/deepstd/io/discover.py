"""Which scans lie below a folder, found by their suffixes.

folder ─ walk ─▶ files with a scan's suffix ─▶ ScanSource … ─ read_scan ─▶ Volume
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from deepstd.errors import InputError
from deepstd.io.registry import SUFFIXES, read
from deepstd.volume import Volume


@dataclass(frozen=True)
class ScanSource:
    """One scan on disk.

    Attributes:
        files: its files, in order.
        series: what makes several files one scan; None where the scan is a file.
        name: where it lies below the folder that was searched, with "/" and without the scan's
            suffix; no two scans of a folder have the same.
        nbytes: bytes of its files.
    """

    files: tuple[Path, ...]
    series: str | None
    name: str
    nbytes: int


@dataclass(frozen=True)
class Discovered:
    """What `discover` found.

    Attributes:
        scans: sorted by name.
        unreadable: folders that could not be listed.
    """

    scans: list[ScanSource]
    unreadable: list[Path]


def discover(place: Path) -> Discovered:
    """Find the scans below a folder, or the one that a file is.

    Hidden files and folders, and whatever is no ordinary file, are passed over. Links are followed,
    and no folder is entered twice. A link to a scan that is not there counts: it fails when read.

    Raises:
        InputError: there is no such file or folder.
    """
    if place.is_file():
        return Discovered([ScanSource((place,), None, _stem(place.name), _size(place))], [])
    if not place.is_dir():
        raise InputError(f"{place}: no such file or folder")
    files, unreadable = _walk(place)
    found = {path.relative_to(place).as_posix(): path for path in files}
    shared = Counter(_stem(name) for name in found)
    scans = []
    for full, path in found.items():
        short = _stem(full)
        # Of a.nii.gz and a.png neither may be "a"; nor may a.png.npy be "a.png" beside them.
        name = full if shared[short] > 1 or short in found else short
        scans.append(ScanSource((path,), None, name, _size(path)))
    return Discovered(sorted(scans, key=lambda scan: scan.name), sorted(unreadable))


def read_scan(scan: ScanSource) -> Volume:
    """Read a scan that was found; raises as `deepstd.io.read`."""
    return read(scan.files[0])


def _walk(folder: Path) -> tuple[list[Path], list[Path]]:
    files: list[Path] = []
    unreadable: list[Path] = []
    entered: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for here, folders, names in os.walk(folder, onerror=note, followlinks=True):
        about = os.stat(here)
        if (about.st_dev, about.st_ino) in entered:  # a link led back
            folders.clear()
            continue
        entered.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(here, name) for name in names if not name.startswith("."))
        files += [path for path in paths if _is_scan(path)]
    return files, unreadable


def _is_scan(path: Path) -> bool:
    if not path.name.lower().endswith(SUFFIXES):
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)  # to open a pipe would be to wait for ever
    except OSError:
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _stem(name: str) -> str:
    """A name without the suffix of a scan."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
