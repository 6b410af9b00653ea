"""Output files that appear whole or not at all.

with atomic_path(path) as temporary ─▶ the caller writes it ─▶ os.replace to ``path``
                                         └ any exception ─▶ removed, ``path`` as it was
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepstd.errors import InputError, OutputExistsError

_SUFFIX_CHARACTERS = 32


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty temporary file beside ``path`` that becomes ``path`` when the block ends well.

    The temporary file has the suffixes of ``path`` and, as any new file, the permissions that the
    umask leaves. A symbolic link is followed.

    Args:
        path: the file to write.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        InputError: the folder is missing or not writable, or ``path`` is no ordinary file.
    """
    target = Path(os.path.realpath(path))
    _check_target(target, path, overwrite)
    temporary = _create_beside(target, path)
    try:
        yield temporary
        _check_target(target, path, overwrite)
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_target(target: Path, path: str | os.PathLike[str], overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_file():
        # os.replace would put an ordinary file in the place of a device such as /dev/null.
        raise InputError(f"{path}: not an ordinary file. Choose another output")
    if not overwrite:
        raise OutputExistsError(
            f"{path}: the file exists already. Choose another output, or allow to overwrite it"
        )


def _create_beside(target: Path, path: str | os.PathLike[str]) -> Path:
    suffix = "".join(target.suffixes)[-_SUFFIX_CHARACTERS:]
    temporary = target.with_name(f".deepstd-{secrets.token_hex(6)}{suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: the folder {target.parent} does not exist. Create it first"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return temporary
