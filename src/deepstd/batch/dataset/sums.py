"""SHA-256 sums of a data set, in the form that `sha256sum -c` reads.

files, hashes ─ write_sums ─▶ SHA256SUMS ─ read_sums ─▶ hash by name

A name with a backslash or a line break is escaped, and its line begins with a backslash.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from deepstd.batch.dataset.names import SUMS
from deepstd.errors import InputError
from deepstd.io import atomic_path

_LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_MOST_BYTES = 1 << 28  # of a file of sums: three million lines


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the file of sums, replacing an earlier one.

    Args:
        folder: top of the data set.
        sums: SHA-256 in hexadecimal digits by the path below ``folder``.
    """
    lines = []
    for name in sorted(sums):
        raw = os.fsencode(name)
        plain = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"\\" if plain != raw else b""
        lines.append(mark + sums[name].encode() + b"  " + plain + b"\n")
    with atomic_path(folder / SUMS, overwrite=True) as temporary:
        temporary.write_bytes(b"".join(lines))


def read_sums(folder: Path) -> dict[str, str]:
    """Read the file of sums; empty where there is none.

    Raises:
        InputError: the file cannot be read, or a line is no sum of a file below the folder.
    """
    path = folder / SUMS
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: too large for a file of sums. Remove it")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    found = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        raw = b"" if match is None else match[3]
        if match is not None and match[1]:
            raw = re.sub(rb"\\(.)", lambda m: {b"n": b"\n", b"r": b"\r"}.get(m[1], m[1]), raw)
        name = os.fsdecode(raw).removeprefix("./")
        if match is None or name.startswith("/") or ".." in name.split("/"):
            raise InputError(
                f"{path}: line {number} is no sum of a file in this folder. Download it again, or "
                "remove it"
            )
        found[name] = match[2].decode().lower()
    return found
