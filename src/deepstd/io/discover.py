"""Scans below a folder.

folder ─ walk ─▶ files ─ zip archives opened ─▶ entries
    entries ─┬ a scan's suffix ─▶ a scan each
             ├ .npz with several arrays ─▶ a scan each
             ├ DICOM ─ headers ─▶ series ─▶ ScanSource … ─ read_scan ─▶ Volume
             └ others ─▶ passed over, by kind
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from deepstd.errors import DeepSTDError, InputError
from deepstd.io import archive, dicom, passed
from deepstd.io.naming import safe_member, stem, stem_of_data, title_of
from deepstd.io.passed import PassedOver
from deepstd.io.source import ScanSource, has_suffix

_HEADERS_WITH_DATA = (".mhd", ".nhdr", ".hdr", ".par")


@dataclass(frozen=True)
class Discovered:
    """Result of `discover`.

    Attributes:
        scans: scans found, sorted by name.
        unreadable: folders that could not be listed.
        passed_over: files and folders that are no scans, sorted by name.
    """

    scans: list[ScanSource]
    unreadable: list[Path]
    passed_over: list[PassedOver] = field(default_factory=list)


def discover(place: Path) -> Discovered:
    """Find the scans below a folder, in a zip archive or in a file.

    DICOM files are recognised by their content, whatever their names, and sorted into series. A
    damaged DICOM file or archive counts as a scan, which fails when read. Hidden files and folders,
    and special files such as pipes, are passed over. Links are followed, and no folder is entered
    twice. A link to a missing scan counts as a scan, which fails when read.

    Raises:
        InputError: there is no such file or folder.
    """
    search = _Search()
    try:
        if place.is_file():
            search.enter(place, place.name)
            if not search.is_dicom_or_archive:
                return Discovered([ScanSource((place,), None, stem(place.name), _size(place))], [])
        elif place.is_dir():
            search.walk(place)
        else:
            raise InputError(f"{place}: no such file or folder")
        return search.result()
    finally:
        search.archives.close()


class _Search:
    """Files and archive members found so far, by their names below the searched folder."""

    def __init__(self) -> None:
        self.archives = dicom.Archives()
        self._scans: dict[str, dicom.Item] = {}
        self._dicom: dict[str, dicom.Item] = {}
        self._unreadable: dict[str, dicom.Item] = {}
        self._others: list[PassedOver] = []
        self._folders: list[Path] = []

    @property
    def is_dicom_or_archive(self) -> bool:
        """True where DICOM files, archives or unreadable files were found."""
        return bool(self._dicom or self._unreadable) or any("/" in name for name in self._scans)

    def walk(self, root: Path) -> None:
        """Enter all files below a folder."""
        entered: set[tuple[int, int]] = set()

        def note(error: OSError) -> None:
            self._folders.append(Path(error.filename))

        for here, folders, names in os.walk(root, onerror=note, followlinks=True):
            where = Path(here)
            about = os.stat(here)
            if (about.st_dev, about.st_ino) in entered:
                self._pass(_below(where, root), passed.AGAIN)
                folders.clear()
                continue
            entered.add((about.st_dev, about.st_ino))
            for name in (*folders, *names):
                if name.startswith("."):
                    self._pass(_below(where / name, root), passed.HIDDEN)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = where / name
                if name.startswith("."):
                    continue
                if _is_ordinary(path):
                    self.enter(path, _below(path, root))
                else:
                    self._pass(_below(path, root), passed.SPECIAL)

    def enter(self, path: Path, name: str) -> None:
        """Record a file, or the members of an archive."""
        item = dicom.Item(path, None, self.archives)
        if has_suffix(name):
            several = _arrays(path) if name.lower().endswith(archive.SUFFIXES) else []
            for member in several:
                self._scans[f"{name}/{safe_member(member)}"] = replace(item, member=member)
            if not several:
                self._scans[name] = item
            return
        try:
            head = item.head()
        except OSError as error:
            if passed.may_be_dicom(name):
                self._unreadable[name] = item  # its series must not count as complete
            else:
                self._pass(name, passed.kind_of(name), error.strerror or "")
            return
        if dicom.begins_as_dicom(head):
            self._dicom[name] = item
        elif head.startswith(dicom.ZIP_MAGIC):
            self._open(path, name)
        else:
            self._pass(name, passed.kind_of(name))

    def _open(self, path: Path, name: str) -> None:
        try:
            contents = dicom.contents(path, self.archives)
        except DeepSTDError:
            self._unreadable[name] = dicom.Item(path, None, self.archives)
            return
        if contents.items and len(contents.encrypted) == len(contents.items):
            self._unreadable[name] = dicom.Item(path, None, self.archives)
            return
        before = len(self._scans) + len(self._dicom) + len(self._unreadable)
        others = len(self._others)
        for kind, members in (
            (passed.HIDDEN, contents.hidden),
            (passed.LINKS, contents.links),
            (passed.DOUBLES, contents.doubles),
        ):
            for member in members:
                self._pass(f"{name}/{member}", kind)
        for item in contents.items:
            self._enter_member(item, f"{name}/{safe_member(item.member or '')}")
        if len(self._scans) + len(self._dicom) + len(self._unreadable) == before:
            # Documents of many programs are zip archives; their members are not reported.
            del self._others[others:]
            self._pass(name, passed.kind_of(name), "no scan is in it")

    def _enter_member(self, item: dicom.Item, name: str) -> None:
        if has_suffix(name):
            self._scans[name] = item
            return
        try:
            head = item.head()
        except InputError:
            self._unreadable[name] = item
            return
        if dicom.begins_as_dicom(head):
            self._dicom[name] = item
        elif head.startswith(dicom.ZIP_MAGIC):
            self._pass(name, passed.NESTED)
        else:
            self._pass(name, passed.kind_of(name))

    def _pass(self, name: str, kind: str, reason: str = "") -> None:
        self._others.append(PassedOver(name, kind, reason))

    def result(self) -> Discovered:
        """Return the scans, the unreadable folders and the files passed over."""
        shared = Counter(stem(name) for name in self._scans)
        scans = []
        for full, item in self._scans.items():
            short = stem(full)
            # a.nii.gz and a.png may not both be "a"; nor may a.png.npy be "a.png" beside a.png.
            name = full if shared[short] > 1 or short in self._scans else short
            scans.append(_source([item], None, name))
        scans += [_source([item], None, name) for name, item in self._unreadable.items()]
        series, refused = _series(self._dicom)
        with_data = {
            stem(name) for name in self._scans if name.lower().endswith(_HEADERS_WITH_DATA)
        }
        others = [one for one in self._others if stem_of_data(one.name) not in with_data]
        return Discovered(
            sorted(scans + series, key=lambda scan: scan.name),
            sorted(self._folders),
            sorted(others + refused, key=lambda one: one.name),
        )


def _series(items: dict[str, dicom.Item]) -> tuple[list[ScanSource], list[PassedOver]]:
    """Sort DICOM files into series and name the series.

    A series of one file has the name of the file. Any other has the name of its folder and its id.
    """
    names = {item: name for name, item in items.items()}
    found = dicom.find(items[name] for name in sorted(items))
    scans = []
    shared = Counter(item for series in found.series for item in series.items)
    for series in found.series:
        files = series.items
        folder = PurePosixPath(names[files[0]]).parent
        name = str(folder / series.id)
        if len(files) == 1 and shared[files[0]] == 1:
            name = names[files[0]]
        image, count = series.image, len(dicom.distinct(series.frames))
        voxels = image.rows * image.columns * count
        sizes = (voxels, image.nbytes_of(count))
        scans.append(_source(files, series.id, name, sizes, title_of(series.image.dataset)))
    scans += [_source([item], None, names[item]) for item in found.unreadable]
    refused = [
        PassedOver(names[item], passed.NOT_GREY, str(error).removeprefix(f"{item.label}: "))
        for item, error in found.refused.items()
    ]
    return scans, refused


def _source(
    items: Iterable[dicom.Item],
    series: str | None,
    name: str,
    sizes: tuple[int, int] | None = None,
    title: str = "",
) -> ScanSource:
    several = tuple(items)
    members = tuple(item.member for item in several)
    return ScanSource(
        tuple(item.path for item in several),
        series,
        name,
        sum(map(_packed, several)),
        sizes,
        members if any(member is not None for member in members) else (),
        title,
    )


def _arrays(path: Path) -> list[str]:
    """Return the members of an archive of arrays that are scans, where there are several."""
    try:
        found = archive.scans_in(path)
    except (DeepSTDError, OSError):  # reading it raises the error
        return []
    return found if len(found) > 1 else []


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _is_ordinary(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)  # opening a pipe would block for ever
    except OSError:
        return True


def _packed(item: dicom.Item) -> int:
    try:
        return item.packed_bytes
    except (OSError, DeepSTDError):
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
