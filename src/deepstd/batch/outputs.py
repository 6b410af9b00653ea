"""Files in the output folder: their paths, and checks against the ledger.

OUT_DIR, name ─ output_of ─▶ path ─ leads_outside, digest_of, has_size, is_cut_off ─▶ facts
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from deepstd.errors import DeepSTDError, InputError, TruncatedError
from deepstd.inspection import read_container

IN_THE_WAY = (
    "there is a file already where the output belongs, and this command did not write it. "
    "Move it away, or allow to overwrite it"
)
A_LINK = (
    "a folder on the way to its output is a link, and outputs are written below the output folder "
    "only. Put a folder in the place of the link"
)


def output_of(folder: Path, name: str) -> Path:
    """Return the path of the compressed scan with a name."""
    return folder / f"{name}.dstd"


def leads_outside(folder: Path, target: Path) -> bool:
    """Return True where a folder between ``folder`` and ``target`` is a link."""
    parents = target.relative_to(folder).parents
    return any((folder / parent).is_symlink() for parent in parents if parent.parts)


def make_folder(path: Path) -> None:
    """Make a folder unless it exists.

    Raises:
        InputError: the path is a link or a file, or the folder cannot be made.
    """
    if path.is_symlink():
        raise InputError(f"{path}: is a link, where a folder belongs. Remove it")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror})") from error


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of an output in hexadecimal digits, as in the ledger."""
    return hashlib.sha256(data).hexdigest()


def has_digest(path: Path, digest: object) -> bool:
    """Return True where a file has the hash that the ledger states."""
    try:
        return isinstance(digest, str) and digest_of(path.read_bytes()) == digest
    except OSError:
        return False


def has_size(path: Path, nbytes: object) -> bool:
    """Return True where a file has the length in bytes that the ledger states."""
    try:
        return path.is_file() and path.stat().st_size == nbytes
    except OSError:
        return False


def is_cut_off(path: Path, nbytes: object) -> bool:
    """Return True where a file is an output that was cut off at its end."""
    try:
        if not isinstance(nbytes, int) or path.stat().st_size > nbytes:
            return False
        read_container(path)
    except TruncatedError:
        return True
    except (DeepSTDError, OSError):
        return False
    return False
