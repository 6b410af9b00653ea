"""NumPy archives of arrays (.npz): one array is the scan, as if it were a .npy file.

    scan.npz[::NAME] ─ directory of the archive ─ header of each array ─▶ the array that is a scan
    member ─ unpacked ─ array.read_from ─▶ Volume (affine None), note on the other arrays

The sizes that directory and header declare are compared with the packed bytes before memory is
taken. Pickled objects are never loaded. The array comes back as a .npy file.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError
from deepstd.io import array, parts
from deepstd.io.others import FILE
from deepstd.io.streams import MAX_DEFLATE_RATIO

if TYPE_CHECKING:
    from pathlib import Path

    from deepstd.volume import Volume

SUFFIXES = (".npz",)
_MEMBER_MAGIC = b"PK\x03\x04"
_ARRAY = ".npy"
_MOST_ARRAYS = 1000  # whose headers are read to find the scan
_ENCRYPTED = 1  # flag of a zip member
# Largest expansion by the methods that NumPy writes.
_RATIOS = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: MAX_DEFLATE_RATIO}


def recognises(head: bytes) -> bool:
    """Return whether a file is a zip archive whose first member is an array."""
    return head.startswith(_MEMBER_MAGIC) and _first_member(head).endswith(_ARRAY)


def read(path: Path) -> Volume:
    """Read an array of an archive in its stored type, byte order and memory order.

    Args:
        path: the archive, or archive::name where several arrays can be the scan.

    Raises:
        UnsupportedFormatError: no scan, such as pickled, structured or complex values.
        InputError: several arrays can be the scan, or the archive is damaged.
    """
    with _opened(path) as (archive, infos):
        name = _chosen(archive, infos, path)
        info = infos[name]
        with _member(archive, info) as stream:
            volume = array.read_from(stream, info.file_size, _loaded(name))
    notes = (*volume.notes, *parts.left_out(infos, name))
    return replace(volume, notes=notes)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and stored type of the array that `read` reads.

    Raises:
        UnsupportedFormatError: no scan, such as pickled, structured or complex values.
        InputError: several arrays can be the scan, or the archive is damaged.
    """
    with _opened(path) as (archive, infos):
        name = _chosen(archive, infos, path)
        with _member(archive, infos[name]) as stream:
            shape, _, dtype = array.begin(stream, infos[name].file_size, _loaded(name))
    return shape, dtype


def scans_in(path: Path) -> list[str]:
    """Return the names of the members of an archive that can be scans.

    Raises:
        InputError: the archive is damaged.
        UnsupportedFormatError: an array is packed in a way that is not read.
    """
    found = []
    with _opened(path) as (archive, infos):
        for info in infos.values():
            with _member(archive, info) as stream:
                shape, dtype = array.describes(stream)
            if array.is_scan(shape, dtype):
                found.append(info.filename)
    return found


def _first_member(head: bytes) -> str:
    length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + length].decode("utf-8", errors="replace")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Open an archive and yield it with its arrays by name, in their order."""
    file, _ = parts.split(path)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(_ARRAY)]
            yield archive, {one.filename.removesuffix(_ARRAY): one for one in members}
    except (zipfile.BadZipFile, EOFError, ValueError, zlib.error) as error:
        if isinstance(error, DeepSTDError):
            raise
        raise InputError(f"its archive is damaged or cut short ({error})") from error


def _chosen(archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], path: Path) -> str:
    """Return the name of the array that a path names, or of the only one that can be a scan."""
    _, asked = parts.split(path)
    if asked:
        if asked not in infos:
            names = ", ".join(parts.told(name) for name in list(infos)[:8])
            raise InputError(f"no array {parts.told(asked)} is in it. It holds {names}")
        return asked
    if len(infos) > _MOST_ARRAYS:
        first = parts.quoted(next(iter(infos)))
        raise InputError(f"{len(infos)} arrays are in it. Name one: FILE::{first}")
    if len(infos) == 1:
        return next(iter(infos))
    found = {}
    for name, info in infos.items():
        with _member(archive, info) as stream:
            found[name] = array.describes(stream)
    return parts.only_scan(found)


@contextmanager
def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    """Open a member whose declared size its packed bytes can hold."""
    name = parts.told(info.filename)
    if info.flag_bits & _ENCRYPTED:
        raise UnsupportedFormatError(f"its array {name} is encrypted. Unpack it first: unzip FILE")
    if info.compress_type not in _RATIOS:
        raise UnsupportedFormatError(
            f"its array {name} is packed by method {info.compress_type}, which NumPy does not "
            "write. Save it anew with numpy.savez_compressed"
        )
    if info.file_size > info.compress_size * _RATIOS[info.compress_type]:
        raise InputError(
            f"its array {name} is said to take {info.file_size} bytes, more than its "
            f"{info.compress_size} packed bytes can hold. It is damaged"
        )
    with archive.open(info) as stream:
        yield cast("BinaryIO", stream)


def _loaded(name: str) -> str:
    return f"numpy.load('{FILE}')['{parts.quoted(name)}']"
