"""Received objects on the disk, which survive the end of the process at any moment.

object ─▶ incoming/…, flushed ─ renamed ─▶ series/KEY/HASH.dcm ─ success is answered
originals that are no longer needed ─▶ stored/KEY/N.jsonl, flushed ─ then deleted

A line of stored/ that is damaged is passed over and named: its object is stored again when it comes
again, and no original is deleted by it.

KEY is a hash of the UIDs of study and series, HASH one of the UID of the object: a UID that a
sender made up leads to no other folder. Files are never changed and never replaced. What lies in
incoming/ when a process begins was never answered with success, and is deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from deepstd.batch.locking import lock
from deepstd.errors import InputError
from deepstd.network.sameness import same_object

_SERIES, _INCOMING, _STORED, _LOCK = "series", "incoming", "stored", "spool.lock"
_KEY = re.compile(r"[0-9a-f]{16}")
_OBJECT = re.compile(r"[0-9a-f]{32}\.dcm")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEY_DIGITS, _NAME_DIGITS = 16, 32
_PIECE = 1 << 20  # bytes hashed at a time
_DEAD_SECONDS = 3600.0  # after its last byte, an unfinished object has lost its association
_SERIES_IN_MEMORY = 64  # whose deleted originals are known without reading
_FOR_THE_OWNER = 0o700
_TAKEN = "another run receives into it. Stop it first, or choose another spool"
_ELSEWHERE = "Choose a spool elsewhere"
_PASSED_OVER = (
    "is damaged and passed over. Objects that it names are stored once more if they come again; a "
    "copy of the file from a backup prevents that"
)
# Preamble, magic, and the element that states the length of the file meta information.
_META = struct.Struct("<128x4sHH2sHI")


class Stored(Enum):
    """Outcome of `Spool.store`."""

    NEW = "new"
    KNOWN = "known"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Uids:
    """Identity of an object: UIDs of its study, series and of itself."""

    study: str
    series: str
    instance: str

    @property
    def key(self) -> str:
        """Name of the folder of its series."""
        told = f"{self.study}\0{self.series}".encode()
        return hashlib.sha256(told).hexdigest()[:_KEY_DIGITS]

    @property
    def name(self) -> str:
        """Name of its file."""
        return hashlib.sha256(self.instance.encode()).hexdigest()[:_NAME_DIGITS] + ".dcm"


class Spool:
    """A folder of received objects, for one process at a time.

    Args:
        folder: folder of the spool; it is made if it is missing.
        damaged: called with the path of a damaged record of deleted originals and a sentence on it.
    """

    def __init__(
        self, folder: Path, damaged: Callable[[Path, str], None] = lambda path, why: None
    ) -> None:
        self.folder = folder
        self._damaged, self._named = damaged, set[Path]()
        self._lock: BinaryIO | None = None
        self._storing = threading.Lock()
        self._known = lru_cache(_SERIES_IN_MEMORY)(self._digests)

    def __enter__(self) -> Spool:
        """Make and lock the folder, and delete what was never received whole.

        Raises:
            InputError: another process has the spool, or it cannot be written.
        """
        try:
            for part in (_SERIES, _INCOMING, _STORED):
                (self.folder / part).mkdir(mode=_FOR_THE_OWNER, parents=True, exist_ok=True)
            self._lock = open(self.folder / _LOCK, "ab")
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror})") from error
        try:
            lock(self._lock, self.folder, taken=_TAKEN, elsewhere=_ELSEWHERE)
            self.sweep(0.0)
            for key in self.series_keys():
                self._forget(key, self._recorded(key))
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    @property
    def incoming(self) -> Path:
        """Folder of objects that are being received, on the disk of the spool."""
        return self.folder / _INCOMING

    @property
    def root(self) -> Path:
        """Folder of the folders of the series."""
        return self.folder / _SERIES

    @property
    def free_bytes(self) -> int:
        """Free bytes of the disk."""
        return shutil.disk_usage(self.folder).free

    def store(self, temporary: Path, uids: Uids) -> Stored:
        """Move a received file to its place, so that it survives from then on.

        Args:
            temporary: whole file in `incoming`.
            uids: identity of the object.

        Returns:
            NEW; KNOWN where the same object is or was there; CONFLICT where another object of this
            UID is. The file stays in `incoming` unless it is NEW. An object that is there may come
            in another transfer syntax; of a deleted one only the first is known.

        Raises:
            OSError: the disk is full or fails; nothing was stored.
        """
        target = self.root / uids.key / uids.name
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        before = self._known(uids.key).get(uids.name)
        if before is not None:
            return Stored.KNOWN if _has_content(temporary, before) else Stored.CONFLICT
        with self._storing:  # two associations may bring one object at once
            if not target.parent.is_dir():
                target.parent.mkdir(mode=_FOR_THE_OWNER)
                flush_folder(target.parent.parent)
            if not target.exists():
                os.rename(temporary, target)
                flush_folder(target.parent)
                return Stored.NEW
        same = _has_content(target, content_hash(temporary)) or same_object(temporary, target)
        return Stored.KNOWN if same else Stored.CONFLICT

    def series_keys(self) -> Iterator[str]:
        """Yield the keys of the series that have originals here."""
        with os.scandir(self.root) as entries:
            for entry in entries:
                if _KEY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def names(self, key: str) -> frozenset[str]:
        """Return the names of the originals of a series."""
        try:
            with os.scandir(self.root / key) as entries:
                return frozenset(e.name for e in entries if _OBJECT.fullmatch(e.name))
        except FileNotFoundError:
            return frozenset()

    def generation(self, key: str) -> int:
        """Return how often originals of a series were deleted, once their output was verified."""
        return len(list((self.folder / _STORED / key).glob("*.jsonl")))

    def delete(self, key: str, names: Iterable[str]) -> None:
        """Delete originals of a series, and remember their content for ever.

        Raises:
            OSError: the disk is full or fails.
        """
        chosen = sorted(names)
        rows = [{"name": name, "sha256": content_hash(self.root / key / name)} for name in chosen]
        folder = self.folder / _STORED / key
        if not folder.is_dir():
            folder.mkdir(mode=_FOR_THE_OWNER)
            flush_folder(folder.parent)
        number = self.generation(key) + 1
        write_whole(folder / f"{number}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self._known.cache_clear()
        self._forget(key, chosen)

    def sweep(self, seconds: float = _DEAD_SECONDS) -> None:
        """Delete unfinished objects without a change for some seconds."""
        for path in self.incoming.iterdir():
            try:
                if time.time() - path.stat().st_mtime >= seconds:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _forget(self, key: str, names: Iterable[str]) -> None:
        folder = self.root / key
        for name in names:
            (folder / name).unlink(missing_ok=True)
        with self._storing:
            if folder.is_dir() and not self.names(key):
                shutil.rmtree(folder)

    def _recorded(self, key: str) -> list[str]:
        """Return the names of originals that are recorded as deleted, and have that content."""
        known = self._known(key)
        there = self.names(key) & known.keys()
        return [name for name in there if _has_content(self.root / key / name, known[name])]

    def _digests(self, key: str) -> dict[str, str]:
        """Return the content hashes of deleted originals of a series, by their names."""
        found: dict[str, str] = {}
        for path in sorted((self.folder / _STORED / key).glob("*.jsonl")):
            lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
            rows = [_row(line) for line in lines]
            found.update(row for row in rows if row is not None)
            if None in rows and path not in self._named:
                self._named.add(path)
                self._damaged(path, f"line {rows.index(None) + 1} {_PASSED_OVER}")
        return found


def _row(line: bytes) -> tuple[str, str] | None:
    """Return name and content hash of a line of a record; None where it is damaged."""
    try:
        row = json.loads(line)
        name, digest = row["name"], row["sha256"]
        is_whole = _OBJECT.fullmatch(name) and _DIGEST.fullmatch(digest)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (name, digest) if is_whole else None


def content_hash(path: Path) -> str:
    """Return the SHA-256 of transfer syntax and data set of a file, in hexadecimal digits.

    The rest of the file meta information names who wrote the file, and differs between writers.
    """
    from pydicom.filereader import read_file_meta_info

    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", ""))
    digest = hashlib.sha256(syntax.encode())
    with open(path, "rb") as stream:
        length = _META.unpack(stream.read(_META.size))[-1]
        stream.seek(length, os.SEEK_CUR)
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _has_content(path: Path, digest: str) -> bool:
    """Return True where a file has a content hash; False where it is damaged."""
    try:
        return content_hash(path) == digest
    except Exception:  # pydicom raises many kinds for damaged files
        return False


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, whenever the process ends."""
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name != "posix":  # Windows opens no folder
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
