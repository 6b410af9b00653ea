"""Which scans lie below a folder.

folder ─ walk ─▶ files with a scan's suffix ─┐
             └ DICOM ─ headers ─▶ series ────┴▶ ScanSource … ─ read_scan ─▶ Volume
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from deepstd.errors import InputError
from deepstd.io import dicom
from deepstd.io.formats import SUFFIXES
from deepstd.io.registry import read
from deepstd.volume import Volume


@dataclass(frozen=True)
class ScanSource:
    """One scan on disk.

    Attributes:
        files: its files.
        series: id of a DICOM series among the files; None where the scan is a file of its own.
        name: where it lies below the folder that was searched, with "/" and without the scan's
            suffix; no two scans of a folder have the same.
        nbytes: bytes of its files.
        sizes: voxels and their stored bytes, where finding it told them.
    """

    files: tuple[Path, ...]
    series: str | None
    name: str
    nbytes: int
    sizes: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """The name of its file, or where there are several, its name."""
        return self.files[0].name if len(self.files) == 1 else self.name


@dataclass(frozen=True)
class Discovered:
    """What `discover` found.

    Attributes:
        scans: sorted by name.
        unreadable: folders that could not be listed.
        passed_over: DICOM objects that are no grey images, with the reason.
    """

    scans: list[ScanSource]
    unreadable: list[Path]
    passed_over: dict[Path, str] = field(default_factory=dict)


def discover(place: Path) -> Discovered:
    """Find the scans below a folder, or the one that a file is.

    DICOM files are told by their content, whatever their names, and sorted into series; a damaged
    one counts as a scan, which fails when read. Hidden files and folders, and whatever is no
    ordinary file, are passed over. Links are followed, and no folder is entered twice. A link to a
    scan that is not there counts: it fails when read.

    Raises:
        InputError: there is no such file or folder.
    """
    if place.is_file() and not _is_dicom(place):
        return Discovered([ScanSource((place,), None, _stem(place.name), _size(place))], [])
    if place.is_file():
        series, passed_over = _series([place], place.parent)
        return Discovered(series, [], passed_over)
    if not place.is_dir():
        raise InputError(f"{place}: no such file or folder")
    files, unreadable = _walk(place)
    found = {p.relative_to(place).as_posix(): p for p in files if _has_suffix(p)}
    others = [path for path in files if not _has_suffix(path) and _is_dicom(path)]
    shared = Counter(_stem(name) for name in found)
    scans = []
    for full, path in found.items():
        short = _stem(full)
        # Of a.nii.gz and a.png neither may be "a"; nor may a.png.npy be "a.png" beside them.
        name = full if shared[short] > 1 or short in found else short
        scans.append(ScanSource((path,), None, name, _size(path)))
    series, passed_over = _series(others, place)
    scans = sorted(scans + series, key=lambda scan: scan.name)
    return Discovered(scans, sorted(unreadable), passed_over)


def read_scan(scan: ScanSource) -> Volume:
    """Read a scan that was found; raises as `deepstd.io.read`."""
    return read(scan.files, series=scan.series)


def _series(paths: list[Path], root: Path) -> tuple[list[ScanSource], dict[Path, str]]:
    """DICOM files by series, named after their only file, or their folder and the series' id."""
    found = dicom.find(dicom.Item(path) for path in sorted(paths))
    scans = []
    shared = Counter(item.path for series in found.series for item in series.items)
    for series in found.series:
        files = tuple(item.path for item in series.items)
        folder = files[0].parent.relative_to(root).as_posix()
        name = series.id if folder == "." else f"{folder}/{series.id}"
        if len(files) == 1 and shared[files[0]] == 1:
            name = files[0].relative_to(root).as_posix()
        image, count = series.image, len(dicom.distinct(series.frames))
        voxels = image.rows * image.columns * count
        sizes = (voxels, voxels * image.dtype.itemsize)
        scans.append(ScanSource(files, series.id, name, sum(map(_size, files)), sizes))
    for item in found.unreadable:
        name = item.path.relative_to(root).as_posix()
        scans.append(ScanSource((item.path,), None, name, _size(item.path)))
    reasons = {
        item.path: str(error).removeprefix(f"{item.label}: ")
        for item, error in found.refused.items()
    }
    return scans, reasons


def _is_dicom(path: Path) -> bool:
    try:
        return dicom.begins_as_dicom(dicom.Item(path).head())
    except OSError:
        return False


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
        files += [path for path in paths if _is_ordinary(path)]
    return files, unreadable


def _has_suffix(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _is_ordinary(path: Path) -> bool:
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
