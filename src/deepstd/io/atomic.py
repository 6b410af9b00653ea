"""Output files and folders that appear whole or not at all.

with atomic_path(path) as temporary ─▶ the caller writes it ─▶ os.replace to ``path``
                                         └ any exception ─▶ removed, ``path`` as it was
                                           (a full disk ─▶ an error that names ``path``)
with atomic_folder(path) as temporary ─▶ the caller writes files into it ─▶ renamed to ``path``

The next process that writes there removes the temporary files of killed processes; see
`temporary`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deepstd.errors import OR_REPLACE, InputError, OutputExistsError
from deepstd.io.temporary import emptied, temporary_beside

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, quota or file system that has no room for an output."""

# Free bytes of the disk count only for a full disk, not for a quota or a largest file size.
_OF_DISK = (errno.ENOSPC,)


class NoSpaceError(OSError):
    """A disk has no room for an output.

    Attributes:
        nbytes: upper bound of the output's size.
    """

    def __init__(self, number: int, nbytes: int) -> None:
        super().__init__(number, os.strerror(number))
        self.nbytes = nbytes


@contextmanager
def needing(nbytes: int) -> Iterator[None]:
    """Report the size of an output that is written in the block, should the disk be full.

    Args:
        nbytes: upper bound of the output's size.

    Raises:
        NoSpaceError: the disk, quota or file system has no room for the output.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NoSpaceError(error.errno, nbytes) from error


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty temporary file beside ``path`` that becomes ``path`` when the block ends well.

    The temporary file has the suffixes of ``path`` and the permissions that the umask leaves to new
    files. A symbolic link is followed.

    Args:
        path: the file to write.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        InputError: the folder is missing, not writable or full, or ``path`` is no ordinary file.
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
        path: the folder to write; it may exist if it is empty.
        overwrite: whether a folder that holds only files accepted by ``ours`` may be replaced.
        ours: returns whether a file of this name may be deleted.

    Raises:
        OutputExistsError: the folder is not empty, and ``overwrite`` is false.
        InputError: the folder holds other files, is no folder, or cannot be written.
    """
    target = _real(path)
    _check_folder(target, path, overwrite, ours)
    with _beside(target, path, folder=True) as temporary:
        yield temporary
        _check_folder(target, path, overwrite, ours)
        _swap(temporary, target, path, ours)


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise an InputError where a folder of outputs is a file or cannot be written to.

    A missing folder is not made. Its nearest existing parent is tried instead.
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
        with room_told(path, temporary):
            yield temporary


@contextmanager
def room_told(path: str | os.PathLike[str], temporary: Path) -> Iterator[None]:
    """Name the output for which a full disk has no room, and the room there was.

    Args:
        path: the output, as messages name it.
        temporary: file or folder that is written in the block.

    Raises:
        InputError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _no_room(path, temporary, error) from error


def _no_room(path: str | os.PathLike[str], temporary: Path, error: OSError) -> InputError:
    parts = temporary.iterdir() if temporary.is_dir() else [temporary]
    written = sum(part.stat().st_size for part in parts if part.is_file())
    told = f"{path}: cannot be written ({os.strerror(error.errno or errno.ENOSPC)}). "
    if isinstance(error, NoSpaceError):
        told += f"It needs up to {error.nbytes:,} bytes, and there is room for "
    else:
        told += "There is room for "
    room = written + (shutil.disk_usage(temporary.parent).free if error.errno in _OF_DISK else 0)
    return InputError(f"{told}{room:,}. Free some space, or choose another output")


def _swap(
    temporary: Path, target: Path, path: str | os.PathLike[str], ours: Callable[[str], bool]
) -> None:
    """Replace a folder by another one; restore the old folder if that fails."""
    # The old folder is not named as a temporary one, since other processes may remove those.
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
