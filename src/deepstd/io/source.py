"""One scan on disk: a file, files of a DICOM series, or members of zip archives.

ScanSource ─ files ─▶ read ─▶ Volume
           └ members of archives ─ DICOM in memory, others unpacked to a temporary file ─▶ read
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deepstd.errors import DeepSTDError, InputError
from deepstd.io import dicom
from deepstd.io.formats import SUFFIXES
from deepstd.io.metadata import Metadata
from deepstd.io.naming import safe_member, stem
from deepstd.io.nifti_pair import IMAGE_SUFFIXES
from deepstd.io.registry import read
from deepstd.volume import Volume

# Formats whose voxels may lie in a second file, and where the header names it.
_DETACHED = (".mhd", ".nhdr")
_PAIR = ".hdr"
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+?)\s*$", re.M | re.I)
_HEADER_BYTES = 1 << 16
# Other programs need room in the same place.
_SPARE_BYTES = 1 << 26


@dataclass(frozen=True)
class ScanSource:
    """One scan on disk.

    Attributes:
        files: its files; of members of archives, the archive of each.
        series: id of a DICOM series among the files; None where the scan is a file of its own.
        name: where it lies below the folder that was searched, with "/" and without the scan's
            suffix; no two scans of a folder have the same.
        nbytes: bytes that its files take on the disk.
        sizes: voxels and their stored bytes, where finding it told them.
        members: for each of ``files`` the member of the archive, None for a file; empty where
            there are files alone.
        title: date and description of a DICOM series, fit for a name. They may tell who the
            patient is.
    """

    files: tuple[Path, ...]
    series: str | None
    name: str
    nbytes: int
    sizes: tuple[int, int] | None = None
    members: tuple[str | None, ...] = ()
    title: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """The name of its file, or where there are several, its name."""
        return self.places[0].name if len(self.files) == 1 else self.name

    @property
    def places(self) -> list[Path]:
        """Where its files lie, members below the path of their archive whatever their names."""
        members = self.members or (None,) * len(self.files)
        pairs = zip(self.files, members, strict=True)
        return [path if name is None else path / safe_member(name) for path, name in pairs]

    @property
    def items(self) -> list[dicom.Item]:
        """Its files and members, to be opened; archives stay open as long as an item is there."""
        archives = dicom.Archives()
        members = self.members or (None,) * len(self.files)
        pairs = zip(self.files, members, strict=True)
        return [dicom.Item(path, member, archives) for path, member in pairs]


def read_scan(scan: ScanSource, metadata: Metadata = Metadata.DEIDENTIFIED) -> Volume:
    """Read a scan that was found; raises as `deepstd.io.read`."""
    if not scan.members:
        return read(scan.files, series=scan.series, metadata=metadata)
    items = scan.items
    try:
        if scan.series is not None:
            return dicom.read_items(items, scan.series, metadata, scan.name)
        with _unpacked(items[0]) as path:
            return _read_unpacked(path, items[0], metadata)
    finally:
        items[0].archives.close()


def has_suffix(name: str) -> bool:
    """Tell whether a file has the suffix of a scan."""
    return name.lower().endswith(SUFFIXES)


def _read_unpacked(path: Path, item: dicom.Item, metadata: Metadata) -> Volume:
    try:
        return read(path, metadata=metadata)
    except DeepSTDError as error:
        raise type(error)(str(error).replace(str(path), item.label)) from error


@contextmanager
def _unpacked(item: dicom.Item) -> Iterator[Path]:
    """Unpack a member to a temporary file, with its data file beside it."""
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        path = Path(folder, f"scan{_suffix(item.member or '')}")
        _unpack(item, path)
        if path.suffix in (*_DETACHED, _PAIR):
            _unpack_data(item, path)
        yield path


def _unpack(item: dicom.Item, path: Path) -> None:
    free = shutil.disk_usage(path.parent).free
    if item.nbytes + _SPARE_BYTES > free:
        raise InputError(
            f"{item.label}: unpacks to {item.nbytes} bytes, and {path.parent.parent} has {free} "
            "free. Make room, or name another folder in TMPDIR"
        )
    with open(path, "wb") as stream:
        item.copy_to(stream)


def _unpack_data(item: dicom.Item, header: Path) -> None:
    """Unpack the file of voxels that a header names or has, if it lies beside or below it."""
    if header.suffix == _PAIR:
        for suffix in IMAGE_SUFFIXES:
            _unpack_beside(item, f"{stem(item.member or '')}{suffix}", header.with_suffix(suffix))
        return
    with open(header, "rb") as stream:
        named = _DATA_FILE.search(stream.read(_HEADER_BYTES))
    if named is None:
        return
    name = named[1].decode(errors="replace")
    parts = PurePosixPath(name).parts
    strange = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name
    if strange or not parts or parts == (header.name,):
        return  # reading the header says what is wrong with it
    member = str(PurePosixPath(item.member or "").parent.joinpath(*parts))
    _unpack_beside(item, member, header.parent.joinpath(*parts))


def _unpack_beside(item: dicom.Item, member: str, path: Path) -> None:
    """Unpack another member of an item's archive, if it is there."""
    if member in item.archives.get(item.path).NameToInfo:
        path.parent.mkdir(parents=True, exist_ok=True)
        _unpack(dicom.Item(item.path, member, item.archives), path)


def _suffix(name: str) -> str:
    matching = [suffix for suffix in SUFFIXES if name.lower().endswith(suffix)]
    return max(matching, key=len, default="")
