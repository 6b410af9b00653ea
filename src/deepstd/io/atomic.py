"""Output files and folders that appear whole or not at all.

with atomic_path(path) as temporary ─▶ the caller writes it ─▶ os.replace to ``path``
                                         └ any exception ─▶ removed, ``path`` as it was
atomic_folder: the same for a folder and the files in it
"""

from __future__ import annotations

import os
import secrets
import shutil
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
        with _written(path, target):
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` when the block ends well.

    Args:
        path: the folder to write; it may exist if it is empty.
        overwrite: whether files in it may be replaced by new ones of the same names.

    Raises:
        OutputExistsError: there are files in it and ``overwrite`` is false.
        InputError: its parent is missing or not writable, ``path`` is a file, or other files than
            those to be replaced are in it.
    """
    target = Path(os.path.realpath(path))
    _check_folder(target, path, overwrite)
    temporary = target.with_name(f".deepstd-{secrets.token_hex(6)}")
    with _written(path, target):
        temporary.mkdir()
    try:
        yield temporary
        _check_folder(target, path, overwrite)
        with _written(path, target):
            _put_in_place(temporary, target, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_folder(target: Path, path: str | os.PathLike[str], overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{path}: is a file, not a folder. Choose another output")
    if not overwrite and any(target.iterdir()):
        raise OutputExistsError(
            f"{path}: the folder is not empty. Choose another output, or allow to overwrite it"
        )


def _put_in_place(temporary: Path, target: Path, path: str | os.PathLike[str]) -> None:
    if not target.exists() or not any(target.iterdir()):
        os.replace(temporary, target)
        return
    others = {p.name for p in target.iterdir()} - {p.name for p in temporary.iterdir()}
    if others:
        raise InputError(
            f"{path}: holds other files, such as {min(others)}, which would be mixed up with the "
            "new ones. Choose another output"
        )
    for file in temporary.iterdir():
        os.replace(file, target / file.name)


@contextmanager
def _written(path: str | os.PathLike[str], target: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: the folder {target.parent} does not exist. Create it first"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


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
    with _written(path, target):
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary
