"""Output files and folders that appear whole or not at all.

with atomic_path(path) as temporary ─▶ the caller writes it ─▶ os.replace to ``path``
                                         └ any exception ─▶ removed, ``path`` as it was
with atomic_folder(path) as temporary ─▶ the caller writes files into it ─▶ renamed to ``path``

Temporary files of processes that were killed are removed by the next that writes there; see
`temporary`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deepstd.errors import OR_REPLACE, InputError, OutputExistsError
from deepstd.io.temporary import emptied, temporary_beside


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
    target = _real(path)
    _check_target(target, path, overwrite)
    with _beside(target, path, folder=False) as temporary:
        yield temporary
        _check_target(target, path, overwrite)
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise _unwritable(path, error) from error


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str], *, overwrite: bool = False, ours: Callable[[str], bool]
) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path`` that becomes ``path`` when the block ends.

    Args:
        path: the folder to write; it may be there if it is empty.
        overwrite: whether a folder may be replaced that holds nothing but ``ours``.
        ours: whether a file of this name may be deleted.

    Raises:
        OutputExistsError: the folder is not empty, and ``overwrite`` is false.
        InputError: it holds other files, is no folder, or cannot be written.
    """
    target = _real(path)
    _check_folder(target, path, overwrite, ours)
    with _beside(target, path, folder=True) as temporary:
        yield temporary
        _check_folder(target, path, overwrite, ours)
        _swap(temporary, target, path, ours)


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise an InputError where a folder of outputs is something else, or cannot be written to.

    A folder that is not there yet is not made, but the one that it would be made in is tried.
    """
    folder = _real(path)
    while not folder.is_dir():
        if os.path.lexists(folder):
            raise InputError(f"{path}: {folder} is a file, not a folder. Choose another folder")
        folder = folder.parent
    try:
        with temporary_beside(folder / "output", folder=True):
            return
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}). Choose another folder, or "
            f"allow to write to {folder}"
        ) from error


@contextmanager
def _beside(target: Path, path: str | os.PathLike[str], *, folder: bool) -> Iterator[Path]:
    """Yield an empty temporary file or folder beside a target."""
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(temporary_beside(target, folder=folder))
        except OSError as error:
            if not target.parent.exists():
                raise _no_parent(target, path) from error
            raise _unwritable(path, error) from error
        yield temporary


def _swap(
    temporary: Path, target: Path, path: str | os.PathLike[str], ours: Callable[[str], bool]
) -> None:
    """Put a folder in the place of another, which stays if that fails."""
    # No name of a temporary folder, which others may remove: it holds what was there before.
    old = target.with_name(f".deepstd-old-{os.urandom(6).hex()}")
    try:
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(temporary, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error
    emptied(old, ours)


def _check_folder(
    target: Path,
    path: str | os.PathLike[str],
    overwrite: bool,
    ours: Callable[[str], bool],
) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{path}: not a folder. Choose another output")
    entries = sorted(target.iterdir())
    if entries and not overwrite:
        raise OutputExistsError(f"{path}: the folder holds files already. {OR_REPLACE}")
    for entry in entries:
        if not ours(entry.name) or entry.is_dir():
            raise InputError(
                f"{path}: holds something else, {entry.name}, and is not replaced. Choose another "
                "output"
            )


def _real(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a NUL character
        raise InputError(f"{os.fspath(path)!r}: not a path ({error})") from error


def _no_parent(target: Path, path: str | os.PathLike[str]) -> InputError:
    return InputError(f"{path}: the folder {target.parent} does not exist. Create it first")


def _unwritable(path: str | os.PathLike[str], error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error})")


def _check_target(target: Path, path: str | os.PathLike[str], overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_file():
        # os.replace would put an ordinary file in the place of a device such as /dev/null.
        raise InputError(f"{path}: not an ordinary file. Choose another output")
    if not overwrite:
        raise OutputExistsError(f"{path}: the file exists already. {OR_REPLACE}")
