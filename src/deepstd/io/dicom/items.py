"""Files and archive members that hold DICOM data.

    files, folders, archives ─ expanded ─▶ items, in the order of their names
    item ─ open ─▶ bytes
     └─ Archives ─▶ a zip archive, opened once for all its members

A label names an item in messages: the path, and the member of an archive.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from deepstd.errors import InputError
from deepstd.io.dicom.unpacked import MOST_HEADER_BYTES, Unpacked

ZIP_MAGIC = b"PK\x03\x04"
_PREFIX, _MAGIC = 128, b"DICM"
_HEAD_BYTES = _PREFIX + len(_MAGIC)
_MOST_MEMBER_BYTES = 1 << 32  # 4 GiB
_MOST_ARCHIVE_BYTES = 1 << 36  # 64 GiB
_MOST_OPEN_ARCHIVES = 8
_ENCRYPTED = 1  # bit of a member's flags
_PIECE = 1 << 20  # bytes hashed at a time
# A data set without the 128 bytes and "DICM" begins with one of these elements, in either byte
# order. A type of two letters or a short length follows.
_FIRST_ELEMENTS = {(2, n) for n in (0, 1, 2, 0x10)} | {(8, n) for n in (0, 1, 5, 8, 0x12, 0x16)}
_TYPES = (b"UL", b"CS", b"UI", b"DA", b"OB")
_NOT_UNPACKED = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError)


class Archives:
    """Zip archives that were used last, kept open, since opening one reads its whole directory.

    For one thread. A pickled copy has none open, and opens what it needs.
    """

    def __init__(self) -> None:
        self._open: dict[Path, zipfile.ZipFile] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Archives, ()

    def get(self, path: Path) -> zipfile.ZipFile:
        """Return an open archive, to be used before the next call.

        Raises:
            BadZipFile, OSError: the archive is damaged or cannot be read.
        """
        archive = self._open.pop(path, None) or zipfile.ZipFile(path)
        self._open[path] = archive
        if len(self._open) > _MOST_OPEN_ARCHIVES:
            self._open.pop(next(iter(self._open))).close()
        return archive

    def close(self) -> None:
        """Close all archives; a later `get` opens them again."""
        while self._open:
            self._open.popitem()[1].close()


@dataclass(frozen=True)
class Item:
    """A file, or a member of a zip archive.

    Attributes:
        path: path of the file or archive.
        member: name in the archive; None for a file.
        archives: open archives, by which a member is read.
    """

    path: Path
    member: str | None = None
    archives: Archives = field(default_factory=Archives, compare=False, repr=False)

    @property
    def label(self) -> str:
        """Name of the item in messages."""
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    @property
    def folder(self) -> str:
        """Name of the folder that holds the item."""
        return (self.path if self.member is None else Path(self.path, self.member)).parent.name

    @property
    def nbytes(self) -> int:
        """Unpacked size in bytes; raises an InputError where an archive is damaged."""
        if self.member is None:
            return self.path.stat().st_size
        with self._unpacking():
            return self.archives.get(self.path).getinfo(self.member).file_size

    @property
    def packed_bytes(self) -> int:
        """Size on the disk in bytes; raises an InputError where an archive is damaged."""
        if self.member is None:
            return self.path.stat().st_size
        with self._unpacking():
            return self.archives.get(self.path).getinfo(self.member).compress_size

    def copy_to(self, target: BinaryIO) -> None:
        """Write the bytes to a stream, piece by piece.

        Raises:
            InputError: the archive is damaged.
        """
        if self.member is None:
            with open(self.path, "rb") as stream:
                shutil.copyfileobj(stream, target)
            return
        with self._unpacking(), self.archives.get(self.path).open(self.member) as stream:
            shutil.copyfileobj(stream, target)

    def digest(self) -> bytes:
        """Return the SHA-256 hash of the bytes.

        Raises:
            InputError: the archive is damaged.
        """
        if self.member is None:
            with open(self.path, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()
        digest = hashlib.sha256()
        with self._unpacking(), self.archives.get(self.path).open(self.member) as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
        return digest.digest()

    def open(self) -> BinaryIO:
        """Open the item and return a stream of its bytes.

        Raises:
            InputError: the archive is damaged.
        """
        if self.member is None:
            return open(self.path, "rb")
        with self._unpacking():
            return io.BytesIO(self.archives.get(self.path).read(self.member))

    @contextmanager
    def beginning(self) -> Iterator[BinaryIO]:
        """Open the item and yield a stream of its first bytes, no more than a header can have.

        Raises:
            InputError: the archive is damaged, or the header is larger.
        """
        if self.member is None:
            with open(self.path, "rb") as stream:
                yield stream
            return
        with self._unpacking():
            member = self.archives.get(self.path).open(self.member)

        def more(count: int) -> bytes:
            with self._unpacking():
                return member.read(count)

        with member:
            yield Unpacked(more, MOST_HEADER_BYTES, self.label)

    def head(self) -> bytes:
        """Return the first bytes, enough for `begins_as_dicom`.

        Raises:
            InputError: the archive is damaged.
        """
        if self.member is None:
            with open(self.path, "rb") as stream:
                return stream.read(_HEAD_BYTES)
        with self._unpacking(), self.archives.get(self.path).open(self.member) as stream:
            return stream.read(_HEAD_BYTES)

    @contextmanager
    def _unpacking(self) -> Iterator[None]:
        try:
            yield
        except _NOT_UNPACKED as error:
            raise InputError(
                f"{self.label}: cannot be unpacked ({type(error).__name__}). The archive is "
                "damaged, encrypted or of an unknown kind: unpack it first"
            ) from error


def begins_as_dicom(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is DICOM, with or without its preamble."""
    if head[_PREFIX:].startswith(_MAGIC):
        return True
    tags = {
        (int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order))
        for order in ("little", "big")
    }
    return bool(tags & _FIRST_ELEMENTS) and (head[4:6] in _TYPES or head[6:8] == bytes(2))


@contextmanager
def expanded(paths: Iterable[Path]) -> Iterator[Iterator[Item]]:
    """Yield the files of folders, at any depth, and of archives; hidden ones are left out.

    Items are found as the iterator advances. Archives stay open until the block ends.

    Raises:
        InputError: a path does not exist, or an archive is damaged or too large; as the iterator
            advances.
    """
    archives = Archives()
    try:
        yield _expand(paths, archives)
    finally:
        archives.close()


def _expand(paths: Iterable[Path], archives: Archives) -> Iterator[Item]:
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file())
            shown = (p for p in found if not _is_hidden(p.relative_to(path)))
            yield from _of_files(shown, archives)
        elif path.exists():
            yield from _of_files([path], archives)
        else:
            raise InputError(f"{path}: no such file or folder")


def _of_files(paths: Iterable[Path], archives: Archives) -> Iterator[Item]:
    for path in paths:
        if _is_zip(path):
            yield from _members(path, archives)
        else:
            yield Item(path)


def _is_hidden(path: Path) -> bool:
    names = (part for part in path.parts if part != "..")
    return any(name.startswith(".") or name == "__MACOSX" for name in names)


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC


def _members(path: Path, archives: Archives) -> list[Item]:
    return contents(path, archives).items


@dataclass(frozen=True)
class Contents:
    """Members of an archive.

    Attributes:
        items: files, in the order of their names.
        hidden, links, doubles: names of members that are left out: hidden ones, symbolic links, and
            all but the last of several members of one name.
        encrypted: names of the files that need a password.
    """

    items: list[Item]
    hidden: list[str]
    links: list[str]
    doubles: list[str]
    encrypted: frozenset[str]


def contents(path: Path, archives: Archives) -> Contents:
    """Return the members of a zip archive that are no folders.

    Raises:
        InputError: the archive is damaged, or unpacks to more than 64 GiB or 4 GiB a file.
    """
    try:
        infos = [i for i in archives.get(path).infolist() if not i.is_dir()]
    except (*_NOT_UNPACKED, ValueError, struct.error) as error:
        raise InputError(f"{path}: a damaged zip archive. Copy or download it again") from error
    hidden, links, shown = [], [], []
    for info in infos:
        is_hidden = _is_hidden(Path(info.filename))
        (hidden if is_hidden else links if _is_link(info) else shown).append(info)
    total = sum(i.file_size for i in shown)
    if total > _MOST_ARCHIVE_BYTES or any(i.file_size > _MOST_MEMBER_BYTES for i in shown):
        raise InputError(
            f"{path}: the archive unpacks to {total} bytes, expected at most "
            f"{_MOST_ARCHIVE_BYTES}, and {_MOST_MEMBER_BYTES} a file. Unpack it first"
        )
    counts = Counter(i.filename for i in shown)
    return Contents(
        [Item(path, name, archives) for name in sorted(counts)],
        [i.filename for i in hidden],
        [i.filename for i in links],
        [name for name, count in counts.items() for _ in range(count - 1)],
        frozenset(i.filename for i in shown if i.flag_bits & _ENCRYPTED),
    )


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)
