"""Ranges of bytes of a file, a URL or standard input; no open file is kept.

    path ─ open, seek, read, close ─▶ bytes
    URL ─ range request ─▶ bytes          a server without ranges, standard input: read once, kept

A reader can be used after a fork: nothing in it belongs to a process. It can be pickled, but for
that of standard input.
"""

from __future__ import annotations

import os
from typing import Any

from deepstd.errors import InputError
from deepstd.io.locations import STREAM, is_url, shown
from deepstd.io.remote import filesystem, incoming, telling

_IDENTITY = {"Accept-Encoding": "identity"}  # ranges are of the file, not of a packed copy


class Ranges:
    """Reader of ranges of bytes.

    Args:
        place: path, URL or "-".

    Attributes:
        place: the location.
        size: bytes of the file.
        nbytes_read: bytes that were read so far, by this object.

    Raises:
        InputError: the location cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """

    def __init__(self, place: str) -> None:
        self.place, self.nbytes_read = place, 0
        self._held: bytes | None = None
        self._system: tuple[int, Any, str] | None = None
        self._stamp: tuple[int, ...] = ()
        size = None
        if is_url(place):
            system, path = self._remote()
            with telling(place, "read"):
                size = system.info(path).get("size")
        elif place != STREAM:
            try:
                stat = os.stat(place)
                with open(place, "rb"):  # a folder, or a file without permission, shows here
                    self._stamp = _stamp_of(stat)
                size = stat.st_size
            except OSError as error:
                raise self._unreadable(error) from error
        self.size = len(self._whole()) if size is None else int(size)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_system": None, "_held": None, "nbytes_read": 0}

    def read(self, start: int, count: int) -> bytes:
        """Return ``count`` bytes from the byte ``start`` on, fewer at the end of the file.

        Raises:
            InputError: the file cannot be read, or has changed since it was opened.
        """
        stop = min(start + count, self.size)
        if stop <= start:
            return b""
        if self._held is not None:
            return self._held[start:stop]
        data = self._requested(start, stop) if is_url(self.place) else self._local(start, stop)
        self.nbytes_read += len(data)
        if len(data) == self.size:  # a server that knows no ranges sends the whole file
            self._held = data
            return data[start:stop]
        if len(data) == stop - start:
            return data
        raise InputError(
            f"{shown(self.place)}: the connection ended before the file did. Try again"
        )

    def _local(self, start: int, stop: int) -> bytes:
        try:
            with open(self.place, "rb") as file:
                if _stamp_of(os.fstat(file.fileno())) != self._stamp:
                    raise InputError(
                        f"{self.place}: has changed since it was opened. Open it again"
                    )
                file.seek(start)
                return file.read(stop - start)
        except OSError as error:
            raise self._unreadable(error) from error

    def _requested(self, start: int, stop: int) -> bytes:
        system, path = self._remote()
        http = self.place.partition("://")[0].lower() in ("http", "https")
        options: dict[str, Any] = {"headers": _IDENTITY} if http else {}
        with telling(self.place, "read"):
            return system.cat_file(path, start=start, end=stop, **options)

    def _remote(self) -> tuple[Any, str]:
        """Return the file system of this process, and the path in it."""
        if self._system is None or self._system[0] != os.getpid():
            self._system = os.getpid(), *filesystem(self.place)
        return self._system[1:]

    def _whole(self) -> bytes:
        """Read and keep the whole file."""
        with incoming(self.place) as stream:
            self._held = stream.read()
        self.nbytes_read += len(self._held)
        return self._held

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(f"{self.place}: cannot be read: {error.strerror or error}")


def _stamp_of(stat: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
