"""Where DICOM data lie: files, folders and zip archives.

    files, folders, archives ─ expand ─▶ items, in the order of their names
    item ─ open ─▶ bytes

A label names an item in messages: the path, and the member of an archive.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deepstd.errors import InputError

ZIP_MAGIC = b"PK\x03\x04"
_PREFIX, _MAGIC = 128, b"DICM"
_HEAD_BYTES = _PREFIX + len(_MAGIC)
_MOST_MEMBER_BYTES = 1 << 32
_MOST_ARCHIVE_BYTES = 1 << 36
# Without the 128 bytes and "DICM", a data set begins with one of these elements, in either byte
# order, and goes on with a type of two letters or a short length.
_FIRST_ELEMENTS = {(2, n) for n in (0, 1, 2, 0x10)} | {(8, n) for n in (0, 1, 5, 8, 0x12, 0x16)}
_TYPES = (b"UL", b"CS", b"UI", b"DA", b"OB")


@dataclass(frozen=True)
class Item:
    """A file, or a member of a zip archive."""

    path: Path
    member: str | None = None

    @property
    def label(self) -> str:
        """Its name in messages."""
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    @property
    def folder(self) -> str:
        """Name of the folder it lies in."""
        return (self.path if self.member is None else Path(self.path, self.member)).parent.name

    @property
    def nbytes(self) -> int:
        """Its size, unpacked."""
        if self.member is None:
            return self.path.stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.member).file_size

    def open(self) -> BinaryIO:
        """Its bytes; InputError where an archive is damaged."""
        if self.member is None:
            return open(self.path, "rb")
        try:
            with zipfile.ZipFile(self.path) as archive:
                return io.BytesIO(archive.read(self.member))
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
            raise InputError(
                f"{self.label}: cannot be unpacked ({type(error).__name__}). The archive is "
                "damaged, encrypted or of an unknown kind: unpack it first"
            ) from error

    def head(self) -> bytes:
        """The first bytes, enough for `begins_as_dicom`."""
        with self.open() as stream:
            return stream.read(_HEAD_BYTES)


def begins_as_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM, with or without its preamble."""
    if head[_PREFIX:].startswith(_MAGIC):
        return True
    tags = {
        (int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order))
        for order in ("little", "big")
    }
    return bool(tags & _FIRST_ELEMENTS) and (head[4:6] in _TYPES or head[6:8] == bytes(2))


def expand(paths: Iterable[Path]) -> Iterator[Item]:
    """All files of folders, at any depth, and of archives; hidden ones are left out.

    Raises:
        InputError: a path does not exist, or an archive is damaged or absurdly large.
    """
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file())
            yield from _of_files(p for p in found if not _is_hidden(p.relative_to(path)))
        elif path.exists():
            yield from _of_files([path])
        else:
            raise InputError(f"{path}: no such file or folder")


def _of_files(paths: Iterable[Path]) -> Iterator[Item]:
    for path in paths:
        if _is_zip(path):
            yield from _members(path)
        else:
            yield Item(path)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC


def _members(path: Path) -> list[Item]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [i for i in archive.infolist() if not i.is_dir()]
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InputError(f"{path}: a damaged zip archive. Copy or download it again") from error
    infos = [i for i in infos if not _is_hidden(Path(i.filename))]
    total = sum(i.file_size for i in infos)
    if total > _MOST_ARCHIVE_BYTES or any(i.file_size > _MOST_MEMBER_BYTES for i in infos):
        raise InputError(
            f"{path}: the archive unpacks to {total} bytes, expected at most "
            f"{_MOST_ARCHIVE_BYTES}, and {_MOST_MEMBER_BYTES} a file. Unpack it first"
        )
    return [Item(path, i.filename) for i in sorted(infos, key=lambda i: i.filename)]
