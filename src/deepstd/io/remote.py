"""Locations other than local files: URLs, through fsspec, and the standard streams.

    fetched:  URL ─ pieces ─▶ temporary folder / its name          (local paths are unchanged)
              URL of a DICOMweb series ─ dicomweb ─▶ temporary folder
    incoming: "-", URL or path ─▶ stream of bytes
    placed:   caller writes a temporary file ─▶ checked, uploaded, renamed

Errors of fsspec become an InputError without their text, which often holds a URL's secrets.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from deepstd.errors import (
    OR_REPLACE,
    DeepSTDError,
    InputError,
    MissingExtraError,
    OutputExistsError,
)
from deepstd.io import dicomweb
from deepstd.io.atomic import atomic_path, room_told
from deepstd.io.locations import STREAM, basename, is_url, shown

_PIECE = 1 << 20  # bytes copied at a time
_TOLD_EVERY = 1 << 24  # bytes between two reports of progress
_CONNECT_SECONDS = 30.0  # until a connection must be made
_SILENCE_SECONDS = 60.0  # without data, after which reading fails
_HTTP = ("http", "https")
# Object stores write an object whole or not at all, and moving it would copy it again.
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")


@contextmanager
def fetched(place: str, progress: Callable[[str], None]) -> Iterator[Path]:
    """Yield a local file with the content of a location; a local path is yielded unchanged.

    The URL of a series on a DICOMweb server gives a folder of its objects.

    Args:
        place: path or URL.
        progress: called with a sentence while a URL is fetched.

    Raises:
        InputError: the location cannot be read, or is a standard stream.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    if place == STREAM:
        raise InputError("a scan cannot come from standard input. Save it to a file first")
    if not is_url(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        if dicomweb.is_series(place):
            dicomweb.fetch_series(place, Path(folder), progress)
            yield Path(folder)
            return
        local = Path(folder) / basename(place)
        with incoming(place) as stream, open(local, "wb") as file:
            _copy(stream, file, _size_of(stream), f"fetching {shown(place)}", progress)
        yield local


@contextmanager
def incoming(place: str) -> Iterator[BinaryIO]:
    """Yield a stream of the bytes of standard input, a URL or a file.

    Raises:
        InputError: the location cannot be read; also while the caller reads.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    if is_url(place):
        system, path = filesystem(place)
        with telling(place, "read"), _open(system, path, place) as stream:
            yield stream
        return
    if place == STREAM:
        if sys.stdin is None or sys.stdin.closed:
            raise InputError("standard input is closed. Give a file")
        yield sys.stdin.buffer
        return
    try:
        with open(place, "rb") as stream:
            yield stream
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror or error}") from error


@contextmanager
def placed(place: str, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary file whose content goes to a location when the block ends well.

    Args:
        place: path, URL or "-".
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        InputError: the location cannot be written.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    if place != STREAM and not is_url(place):
        with atomic_path(place, overwrite=overwrite) as temporary:
            yield temporary
        return
    system, path = _writable(place, overwrite) if place != STREAM else (None, "")
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        local = Path(folder) / ("stream" if system is None else basename(place))
        with room_told(f"{shown(place)}, on its way in {folder}", local):
            local.touch()
            yield local
        if system is None:
            _to_stdout(local)
        else:
            _upload(local, system, path, place, overwrite)


def _writable(place: str, overwrite: bool) -> tuple[Any, str]:
    if place.partition("://")[0].lower() in _HTTP:
        raise InputError(f"{shown(place)}: HTTP is read only. Choose a file or another kind of URL")
    system, path = filesystem(place)
    _check_free(system, path, place, overwrite)
    return system, path


def _check_free(system: Any, path: str, place: str, overwrite: bool) -> None:
    with telling(place, "written"):
        if system.isdir(path):
            raise InputError(f"{shown(place)}: is a folder. Choose another output")
        if not overwrite and system.exists(path):
            raise OutputExistsError(f"{shown(place)}: exists already. {OR_REPLACE}")


def _upload(local: Path, system: Any, path: str, place: str, overwrite: bool) -> None:
    """Upload a file under a temporary name and rename it, so that no partial file has its name."""
    _check_free(system, path, place, overwrite)
    whole_or_not = place.partition("://")[0].lower() in _OBJECT_STORES
    folder, slash, name = path.rpartition("/")
    temporary = path if whole_or_not else f"{folder}{slash}.deepstd-{secrets.token_hex(6)}-{name}"
    with telling(place, "written"):
        try:
            system.put_file(str(local), temporary)
            if temporary != path:
                system.mv(temporary, path)
        except BaseException:
            if temporary != path:
                with suppress(Exception):
                    system.rm_file(temporary)
            raise


def _to_stdout(local: Path) -> None:
    if sys.stdout is None or sys.stdout.closed:
        raise InputError("standard output is closed. Choose a file")
    if sys.stdout.isatty():
        raise InputError("a .dstd file is not for a terminal. Choose a file, or pipe the output")
    try:
        sys.stdout.flush()
        with open(local, "rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, _PIECE)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise InputError(
            f"standard output: cannot be written ({error.strerror or error})"
        ) from error


def _copy(
    stream: BinaryIO,
    file: BinaryIO,
    size: int | None,
    title: str,
    progress: Callable[[str], None],
) -> None:
    done = told = 0
    free = shutil.disk_usage(tempfile.gettempdir()).free
    while True:
        if done >= told:
            progress(f"{title}: {done:,}{f' of {size:,}' if size else ''} bytes")
            told += _TOLD_EVERY
        if max(size or 0, done) > free:
            raise InputError(f"is larger than the free space of {free:,} bytes")
        piece = stream.read(_PIECE)
        if not piece:
            break
        file.write(piece)
        done += len(piece)
    if size is not None and done != size:
        raise InputError(f"ended after {done} of {size} bytes. Try again")


def filesystem(place: str) -> tuple[Any, str]:
    """Return the file system of a URL by fsspec, and the path in it.

    Raises:
        InputError: the URL is malformed, or of an unknown kind.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    scheme = place.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs

        options: dict[str, Any] = {}
        if scheme in _HTTP:
            import aiohttp

            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
            )
            options["client_kwargs"] = {"timeout": timeout}
        return url_to_fs(place, **options)
    except ImportError as error:
        raise _missing(scheme, error) from None
    except ValueError as error:
        known = "not known" not in str(error)
        raise InputError(
            f"{shown(place)}: {'is not a well-formed URL' if known else 'URLs of the kind '}"
            f"{'' if known else f'{scheme}:// are not known. Download the file first'}"
        ) from None
    except Exception as error:
        raise _told(place, "opened", error) from None


def _missing(scheme: str, error: ImportError) -> MissingExtraError:
    if scheme in _HTTP or (error.name or "").partition(".")[0] == "fsspec":
        return MissingExtraError('URLs need fsspec: pip install "deepstd[remote]"')
    package = re.search(r"(?:[Ii]nstall|requires) (?:the )?[\"'`]?([A-Za-z0-9_.-]+)", str(error))
    wanted = "a package that fsspec names" if package is None else package[1]
    return MissingExtraError(f"{scheme}:// URLs need another package: pip install {wanted}")


def _open(system: Any, path: str, place: str) -> Any:
    if place.partition("://")[0].lower() not in _HTTP:
        return system.open(path, "rb")
    # A block size of 0 asks for one stream. Any size saves a HEAD request, which a signed URL may
    # refuse.
    return system.open(path, "rb", block_size=0, size=1, headers={"Accept-Encoding": "identity"})


def _size_of(stream: Any) -> int | None:
    response = getattr(stream, "r", None)
    size = getattr(stream, "size", None) if response is None else response.content_length
    return size if isinstance(size, int) else None


@contextmanager
def telling(place: str, done: str) -> Iterator[None]:
    """Convert errors of fsspec and its file systems to errors without credentials."""
    try:
        yield
    except (DeepSTDError, MemoryError):
        raise
    except ImportError as error:
        raise _missing(place.partition("://")[0].lower(), error) from None
    except Exception as error:
        raise _told(place, done, error) from None


def _told(place: str, done: str, error: Exception) -> InputError:
    name, kind = shown(place), type(error).__name__
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return InputError(f"{name}: no such file")
    if isinstance(status, int):
        return InputError(f"{name}: the server answers {status}, cannot be {done}")
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        return InputError(f"{name}: the server does not answer. Try again later")
    if "Payload" in kind or "Disconnected" in kind or isinstance(error, ConnectionResetError):
        return InputError(f"{name}: the connection ended before the file did. Try again")
    if "Connector" in kind or isinstance(error, ConnectionError):
        return InputError(f"{name}: the server cannot be reached. Check the address")
    reason = getattr(error, "strerror", None)
    return InputError(f"{name}: cannot be {done} ({reason if reason else kind})")
