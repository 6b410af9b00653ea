"""The secret by which dates are moved: a file that is made once, for its owner alone.

KEY_FILE ─ missing ─▶ random key, written whole or not at all ─▶ key, the same in every run
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from deepstd.errors import InputError

_KIND = "deepstd dates"
_KEY_BYTES = 32
_FOR_THE_OWNER = 0o600
_MOST_BYTES = 4096


def date_key(path: Path, *, make: bool = True) -> bytes:
    """Return the key of a file; where there is none, a random key.

    Args:
        path: the key file.
        make: whether a missing file is made, with the random key in it.

    Raises:
        InputError: the file is no such key file, or cannot be read or written.
    """
    try:
        if not os.path.lexists(path):
            if not make:
                return secrets.token_bytes(_KEY_BYTES)
            _make(path)
        with open(path, "rb") as stream:
            told = json.loads(stream.read(_MOST_BYTES))
        if told["kind"] != _KIND:
            raise ValueError("of another kind")
        key = bytes.fromhex(told["key"])
    except OSError as error:
        raise InputError(f"{path}: cannot be read or written ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is no key file for dates, and stays as it is. Name another file"
        ) from error
    if len(key) != _KEY_BYTES:
        raise InputError(f"{path}: the key is damaged. Take its backup, or name another file")
    return key


def _make(path: Path) -> None:
    line = json.dumps({"kind": _KIND, "key": secrets.token_hex(_KEY_BYTES)}).encode() + b"\n"
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    number = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FOR_THE_OWNER)
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)  # fails where another run has just made the file
        except FileExistsError:
            return
    finally:
        os.unlink(temporary)
