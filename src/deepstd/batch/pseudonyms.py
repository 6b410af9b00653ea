"""Pseudonyms of scans, which only the owner of a key file can translate back.

name ─ HMAC-SHA-256 with a random key ─▶ scan-0123456789abcdef, the same in every run
key and names ─▶ KEY_FILE, outside of the output folder, for its owner alone

A plain hash would not do: with a site's naming scheme, all possible names can be hashed and
compared.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from deepstd.errors import InputError
from deepstd.io import ScanSource

_KIND = "deepstd names"
_KEY_BYTES = 32
_DIGITS = 16  # hexadecimal, 64 bits: two of a million names collide with a chance of 3e-8
_FOR_THE_OWNER = 0o600
_FOR_OTHERS = 0o077


class Pseudonyms:
    """Pseudonyms of scans, folders and other names, made with a secret key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, name: str, kind: str = "scan") -> str:
        """Return the pseudonym of a name."""
        message = f"{kind}\0{name}".encode(errors="surrogateescape")
        return f"{kind}-{hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_DIGITS]}"


def is_pseudonym(name: str) -> bool:
    """Return True where a name has the form of a scan's pseudonym."""
    return re.fullmatch(f"scan-[0-9a-f]{{{_DIGITS}}}", name) is not None


def load(path: Path) -> Pseudonyms:
    """Read the key of a file; without the file, draw a random key that is not kept.

    Raises:
        InputError: the file is no key file.
    """
    if not os.path.lexists(path):
        return Pseudonyms(secrets.token_bytes(_KEY_BYTES))
    _check_kind(path)
    data = path.read_bytes()
    return Pseudonyms(_key_of(path, data) if data else secrets.token_bytes(_KEY_BYTES))


def keep(path: Path, output: Path, scans: Iterable[ScanSource]) -> Pseudonyms:
    """Read or make a key file, and add the names of scans to it.

    Args:
        path: the key file.
        output: folder of the outputs; the key file must lie outside.
        scans: scans whose names and pseudonyms are added.

    Raises:
        InputError: the file lies in the output folder, is no key file, or cannot be written.
    """
    check_place(path, output)
    with _locked(path) as stream:
        data = stream.read()
        if data:
            pseudonyms, known = Pseudonyms(_key_of(path, data)), _names_in(data)
        else:
            key = secrets.token_bytes(_KEY_BYTES)
            pseudonyms, known = Pseudonyms(key), set()
            _append(stream, [{"kind": _KIND, "key": key.hex()}])
        if data and not data.endswith(b"\n"):
            stream.write(b"\n")
        rows = [_row(pseudonyms.of(scan.name), scan) for scan in scans]
        _append(stream, [row for row in rows if row["name"] not in known])
    return pseudonyms


def check_place(path: Path, output: Path) -> None:
    """Raise an InputError where a key file would lie in the output folder."""
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(output)):
        raise InputError(
            f"{path}: lies in the output folder, and whoever gets that would have the names. Keep "
            "the key file elsewhere"
        )


def others_may_read(path: Path) -> bool:
    """Return True where anybody but the owner may read or write a file."""
    try:
        return os.name == "posix" and bool(path.stat().st_mode & _FOR_OTHERS)
    except OSError:
        return False


def _row(name: str, scan: ScanSource) -> dict[str, Any]:
    return {"name": name, "source": scan.name, "first_file": str(scan.places[0])}


def _append(stream: BinaryIO, rows: list[dict[str, Any]]) -> None:
    stream.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open and lock the file; a new file is readable by its owner alone."""
    if os.path.lexists(path):
        _check_kind(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    try:
        stream = os.fdopen(os.open(path, flags, _FOR_THE_OWNER), "r+b")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    with stream:
        try:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass  # without a lock a name may be written twice, which does no harm
        yield stream


def _check_kind(path: Path) -> None:
    if path.is_symlink() or not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path}: is a link or no ordinary file. Name a file of its own")


def _key_of(path: Path, data: bytes) -> bytes:
    try:
        first = json.loads(data.partition(b"\n")[0])
        if first["kind"] != _KIND:
            raise ValueError("of another kind")
        key = bytes.fromhex(first["key"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is no key file of this command, and stays as it is. Name another file"
        ) from error
    if len(key) != _KEY_BYTES:
        raise InputError(f"{path}: the key is damaged. Take its backup, or name another file")
    return key


def _names_in(data: bytes) -> set[str]:
    found = set()
    for line in data.split(b"\n")[1:]:
        try:
            found.add(json.loads(line)["name"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
