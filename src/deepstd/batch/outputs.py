"""Files in the output folder: where they belong, whether they are what the ledger says.

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
    """Return where the compressed scan of a name belongs."""
    return folder / f"{name}.dstd"


def leads_outside(folder: Path, target: Path) -> bool:
    """Tell whether a folder between another and a file below it is a link."""
    parents = target.relative_to(folder).parents
    return any((folder / parent).is_symlink() for parent in parents if parent.parts)


def make_folder(path: Path) -> None:
    """Make a folder that may be there, unless a link is in its place.

    Raises:
        InputError: a link or a file is there, or the folder cannot be made.
    """
    if path.is_symlink():
        raise InputError(f"{path}: is a link, where a folder belongs. Remove it")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror})") from error


def digest_of(data: bytes) -> str:
    """Hash an output, as the ledger has it."""
    return hashlib.sha256(data).hexdigest()


def has_digest(path: Path, digest: object) -> bool:
    """Tell whether a file has the hash of an output in the ledger."""
    try:
        return isinstance(digest, str) and digest_of(path.read_bytes()) == digest
    except OSError:
        return False


def has_size(path: Path, nbytes: object) -> bool:
    """Tell whether a file is as long as the ledger says."""
    try:
        return path.is_file() and path.stat().st_size == nbytes
    except OSError:
        return False


def is_cut_off(path: Path, nbytes: object) -> bool:
    """Tell whether a file is the first part of an output whose end was lost."""
    try:
        if not isinstance(nbytes, int) or path.stat().st_size > nbytes:
            return False
        read_container(path)
    except TruncatedError:
        return True
    except (DeepSTDError, OSError):
        return False
    return False
