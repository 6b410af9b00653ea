"""Sources of scans on disk: a file, files of a DICOM series, or members of zip archives.

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
from deepstd.io import dicom, parrec
from deepstd.io.formats import SUFFIXES
from deepstd.io.metadata import KeptMetadata, Metadata
from deepstd.io.naming import safe_member, stem
from deepstd.io.nifti_pair import IMAGE_SUFFIXES
from deepstd.io.registry import read
from deepstd.volume import Volume

# Formats with voxels in a second file, and the header field that names the file.
_DETACHED = (".mhd", ".nhdr")
_PAIR = ".hdr"
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+?)\s*$", re.M | re.I)
_HEADER_BYTES = 1 << 16  # 64 KiB, searched for the name of the data file
# Bytes left free on the disk of temporary files, since other programs need room there.
_SPARE_BYTES = 1 << 26


@dataclass(frozen=True)
class ScanSource:
    """Source of one scan on disk.

    Attributes:
        files: files of the scan; for each member of an archive, the archive.
        series: id of a DICOM series among the files; None where the scan is a file of its own.
        name: path below the searched folder, with "/" and without the scan's suffix; unique among
            the scans of a folder.
        nbytes: size of its files on the disk in bytes.
        sizes: number of voxels and their stored bytes, where they are known.
        members: for each of ``files`` the member of the archive, None for a file; empty where there
            are files alone.
        title: date and description of a DICOM series, fit for a name. They may identify the
            patient.
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
        """Name of the only file, or else of the scan."""
        return self.places[0].name if len(self.files) == 1 else self.name

    @property
    def places(self) -> list[Path]:
        """Paths of its files; a member lies below the path of its archive, under a safe name."""
        members = self.members or (None,) * len(self.files)
        pairs = zip(self.files, members, strict=True)
        return [path if name is None else path / safe_member(name) for path, name in pairs]

    @property
    def items(self) -> list[dicom.Item]:
        """Files and members to open; archives stay open as long as an item exists."""
        archives = dicom.Archives()
        members = self.members or (None,) * len(self.files)
        pairs = zip(self.files, members, strict=True)
        return [dicom.Item(path, member, archives) for path, member in pairs]


def read_scan(scan: ScanSource, metadata: KeptMetadata = Metadata.DEIDENTIFIED) -> Volume:
    """Read the scan of a source.

    Args:
        scan: source of the scan.
        metadata: amount of further metadata that the volume's header keeps.

    Raises:
        UnsupportedFormatError: another format, data type or layout.
        GeometryError: the orientation in the file is not finite.
        InputError: a file is missing, damaged or cut short.
        MissingExtraError: an optional dependency is needed to read it.
    """
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
    """Return whether a file has the suffix of a scan."""
    return name.lower().endswith(SUFFIXES)


def _read_unpacked(path: Path, item: dicom.Item, metadata: KeptMetadata) -> Volume:
    try:
        return read(path, metadata=metadata)
    except DeepSTDError as error:
        raise type(error)(str(error).replace(str(path), item.label)) from error


@contextmanager
def _unpacked(item: dicom.Item) -> Iterator[Path]:
    """Unpack a member and its data file to a temporary folder and yield the path of the member."""
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        path = Path(folder, f"scan{_suffix(item.member or '')}")
        _unpack(item, path)
        if path.suffix in (*_DETACHED, _PAIR, *parrec.SUFFIXES):
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
    """Unpack the data file of a header, if it lies in the same folder or below it."""
    if header.suffix == _PAIR:
        for suffix in IMAGE_SUFFIXES:
            _unpack_beside(item, f"{stem(item.member or '')}{suffix}", header.with_suffix(suffix))
        return
    if header.suffix in parrec.SUFFIXES:
        suffix = parrec.DATA_SUFFIX
        for spelt in (suffix, suffix.upper()):
            _unpack_beside(item, f"{stem(item.member or '')}{spelt}", header.with_suffix(suffix))
        return
    with open(header, "rb") as stream:
        named = _DATA_FILE.search(stream.read(_HEADER_BYTES))
    if named is None:
        return
    name = named[1].decode(errors="replace")
    parts = PurePosixPath(name).parts
    strange = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name
    if strange or not parts or parts == (header.name,):  # reading the header raises the error
        return  # reading the header says what is wrong with it
    member = str(PurePosixPath(item.member or "").parent.joinpath(*parts))
    _unpack_beside(item, member, header.parent.joinpath(*parts))


def _unpack_beside(item: dicom.Item, member: str, path: Path) -> None:
    """Unpack another member of an item's archive, if it exists."""
    if member in item.archives.get(item.path).NameToInfo:
        path.parent.mkdir(parents=True, exist_ok=True)
        _unpack(dicom.Item(item.path, member, item.archives), path)


def _suffix(name: str) -> str:
    matching = [suffix for suffix in SUFFIXES if name.lower().endswith(suffix)]
    return max(matching, key=len, default="")
