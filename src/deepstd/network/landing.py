"""Files of objects that are coming, which never break off the reading of the network.

pynetdicom ─ pieces ─▶ Landing ─▶ a file in incoming/ ─ whole ─▶ Spool.store
                         └ the disk is full, or nearly ─▶ the rest is dropped, and the reason kept

pynetdicom writes an object to a temporary file while it comes. Where that fails, its thread ends
with a traceback and the association hangs. `landing_in` puts this class in the place of its files.
An object whose association breaks off leaves no file, as its file goes with the last reference.
"""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from deepstd.errors import DeepSTDError

FULL = "too little free space on the disk"
_CHECK_BYTES = 1 << 24  # between two looks at the free space
_FOR_THE_OWNER = 0o600


class Landing:
    """File of an object that is coming.

    Attributes:
        path: the file.
        reason: why the object cannot be stored; None while all is well.

    Args:
        folder: folder of the file.
        has_room: returns whether the disk has room for more.
    """

    def __init__(self, folder: Path, has_room: Callable[[], bool]) -> None:
        self.path = folder / f"{secrets.token_hex(12)}.dcm"
        self.reason: str | None = None
        self._has_room, self._unchecked = has_room, _CHECK_BYTES
        self._stream: BinaryIO | None = None
        try:
            number = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FOR_THE_OWNER)
            self._stream = os.fdopen(number, "wb")
        except OSError as error:
            self._fail(f"the disk fails: {error.strerror or error}")
            return
        weakref.finalize(self, _discard, self._stream, self.path)

    @property
    def name(self) -> str:
        """Path of the file as text."""
        return str(self.path)

    @property
    def file(self) -> Landing:
        """The object itself, which pynetdicom flushes by this name."""
        return self

    def write(self, data: bytes) -> int:
        """Append bytes, or drop them once the object cannot be stored; return their number."""
        self._unchecked += len(data)
        if self.reason is None and self._unchecked >= _CHECK_BYTES:
            self._unchecked = 0
            if not self._has_room():
                self._fail(FULL)
        if self.reason is None and self._stream is not None:
            try:
                self._stream.write(data)
            except OSError as error:
                self._fail(f"the disk fails: {error.strerror or error}")
        return len(data)

    def flush(self) -> None:
        """Hand the bytes to the system."""
        if self.reason is None and self._stream is not None:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(f"the disk fails: {error.strerror or error}")

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()

    def _fail(self, reason: str) -> None:
        """Keep the reason, and give the space back at once."""
        self.reason = reason
        if self._stream is not None:
            _discard(self._stream, self.path)


@contextmanager
def landing_in(folder: Path, has_room: Callable[[], bool]) -> Iterator[None]:
    """Let pynetdicom write objects that come to `Landing` files within a block.

    Raises:
        DeepSTDError: this release of pynetdicom opens its files in another way.
    """
    from pynetdicom import _config, dimse_messages

    there: Any = dimse_messages
    if not hasattr(there, "NamedTemporaryFile"):
        raise DeepSTDError(
            'this release of pynetdicom is not supported: pip install "deepstd[network]"'
        )
    before = there.NamedTemporaryFile, _config.STORE_RECV_CHUNKED_DATASET

    def opened(*_: Any, **__: Any) -> Landing:
        return Landing(folder, has_room)

    there.NamedTemporaryFile, _config.STORE_RECV_CHUNKED_DATASET = opened, True
    try:
        yield
    finally:
        there.NamedTemporaryFile, _config.STORE_RECV_CHUNKED_DATASET = before


def _discard(stream: BinaryIO, path: Path) -> None:
    """Close a file and delete it, unless it was moved to its place."""
    with suppress(OSError):
        stream.close()
    path.unlink(missing_ok=True)
