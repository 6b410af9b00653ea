"""Voxels of NRRD and MetaImage files, which differ in their headers only.

    Layout (from the header) ─ what it claims against the size of the file ─▶ bytes ─▶ voxels

ITK does not decode them, since it returns damaged MetaImage data without an error.
"""

from __future__ import annotations

import math
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.others import FILE

if TYPE_CHECKING:
    from pathlib import Path

AT_THE_END = -1  # offset of voxels that fill the end of the file
_MAX_DEFLATE_RATIO = 1032  # largest expansion by DEFLATE
_MAX_TRAILING_BYTES = 1 << 16  # tolerated after the voxels
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS  # window bits by which zlib accepts both kinds of header
_PIECE = 1 << 20  # bytes decoded at a time


@dataclass(frozen=True)
class Layout:
    """Location and type of the voxels, as a header declares them.

    Attributes:
        shape: length of each axis, fastest first.
        dtype: stored type with its byte order.
        encoding: "raw", "deflate" (zlib or gzip), "ascii" or "hex".
        path: file that holds the voxels.
        offset: byte at which the data begin, or `AT_THE_END`.
        skipped_lines: lines of text between the offset and the voxels.
        skipped_bytes: bytes before the voxels, counted after inflating.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    encoding: str
    path: Path
    offset: int
    skipped_lines: int = 0
    skipped_bytes: int = 0

    def __post_init__(self) -> None:
        if not 2 <= len(self.shape) <= 4 or min(self.shape) < 1:
            raise UnsupportedFormatError(
                f"a scan of shape {self.shape} is not supported: expected 2 to 4 axes, none empty"
            )

    @property
    def count(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all voxels in bytes."""
        return self.count * self.dtype.itemsize


def detached(folder: Path, name: str) -> Path:
    """Return the path of the data file that a header names.

    The file must lie in the folder of the header or below it.

    Raises:
        UnsupportedFormatError: the header names several files, or a pattern of them.
        InputError: the header names a file elsewhere, or one that does not exist.
    """
    if name.upper().startswith("LIST") or "%" in name:
        raise UnsupportedFormatError(
            "the voxels lie in several files, which is not supported. Join them: python -c "
            f"\"import SimpleITK as s; s.WriteImage(s.ReadImage('{FILE}'), 'scan.nrrd')\""
        )
    parts = name.split("/")
    strange = any(sign in name for sign in "\\:\0")
    if strange or name == "." or parts[0] == "" or ".." in parts:
        raise InputError(
            f"the header names a data file that is not in its own folder, {name[:200]!r}. Put both "
            "into one folder and correct the name"
        )
    path = folder / name
    if not path.is_file():
        raise InputError(f"its data file {name} is not there. Copy both")
    return path


def read_voxels(layout: Layout) -> np.ndarray:
    """Read and decode the voxels: native byte order, Fortran order, axes as in the header.

    Raises:
        InputError: the file is damaged, or its size contradicts the header.
    """
    with open(layout.path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        start = size - layout.nbytes if layout.offset == AT_THE_END else layout.offset
        if start < 0:
            raise _too_short(layout, size)
        stream.seek(start)
        for _ in range(layout.skipped_lines):
            if not stream.readline(_PIECE).endswith(b"\n"):
                raise InputError("the data file has fewer lines than the header says to skip")
        values = _DECODERS[layout.encoding](layout, stream, size - stream.tell())
    native = values.astype(layout.dtype.newbyteorder("="), copy=False)
    return native.reshape(layout.shape, order="F")


def _raw(layout: Layout, stream: BinaryIO, available: int) -> np.ndarray:
    available -= layout.skipped_bytes
    if available < layout.nbytes:
        raise _too_short(layout, available)
    _check_end(layout, available - layout.nbytes)
    stream.seek(layout.skipped_bytes, os.SEEK_CUR)
    values = np.fromfile(stream, dtype=layout.dtype, count=layout.count)
    if values.size != layout.count:
        raise _too_short(layout, values.nbytes)
    return values


def _deflate(layout: Layout, stream: BinaryIO, available: int) -> np.ndarray:
    skipped, wanted = layout.skipped_bytes, layout.nbytes
    if skipped + wanted > available * _MAX_DEFLATE_RATIO:
        raise _too_short(layout, available)
    target, done = np.empty(wanted, np.uint8), -skipped
    inflater = zlib.decompressobj(_ZLIB_OR_GZIP)
    over = 0
    while not inflater.eof:
        packed = inflater.unconsumed_tail or stream.read(_PIECE)
        try:
            piece = inflater.decompress(packed, _PIECE)
        except zlib.error as error:
            raise InputError(
                f"the compressed voxels are damaged ({error}). Copy or download the file again"
            ) from error
        if not packed and not piece:
            break
        inside = piece[max(-done, 0) :][: wanted - max(done, 0)]
        target[max(done, 0) : max(done, 0) + len(inside)] = np.frombuffer(inside, np.uint8)
        done += len(piece)
        over = max(done - wanted, 0)
        _check_end(layout, over)
    if done < wanted or not inflater.eof:
        raise _too_short(layout, max(done, 0))
    return target.view(layout.dtype)


def _ascii(layout: Layout, stream: BinaryIO, available: int) -> np.ndarray:
    if 2 * layout.count - 1 > available:
        raise _too_short(layout, available)
    words = np.array(stream.read().split()[: layout.count])
    if words.size != layout.count:
        raise _too_short(layout, words.size)
    wide = {"i": np.int64, "u": np.uint64}.get(layout.dtype.kind, np.float64)
    try:
        values = words.astype(wide)
    except (ValueError, OverflowError) as error:
        raise InputError("one of the voxels is not a number. The file is damaged") from error
    if layout.dtype.kind in "iu":
        limits = np.iinfo(layout.dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise InputError(f"a voxel lies outside the range of {layout.dtype.name}")
    with np.errstate(over="ignore"):
        return values.astype(layout.dtype)


def _hex(layout: Layout, stream: BinaryIO, available: int) -> np.ndarray:
    if 2 * layout.nbytes > available:
        raise _too_short(layout, available // 2)
    try:
        data = bytes.fromhex(stream.read().decode("ascii"))
    except ValueError as error:
        raise InputError("the voxels are not hexadecimal digits. The file is damaged") from error
    if len(data) < layout.nbytes:
        raise _too_short(layout, len(data))
    _check_end(layout, len(data) - layout.nbytes)
    return np.frombuffer(data[: layout.nbytes], layout.dtype)


_DECODERS = {"raw": _raw, "deflate": _deflate, "ascii": _ascii, "hex": _hex}


def _check_end(layout: Layout, over: int) -> None:
    if over > _MAX_TRAILING_BYTES:
        raise InputError(
            f"more than {_MAX_TRAILING_BYTES} bytes follow the {layout.nbytes} bytes of voxels "
            f"that the header declares with shape {layout.shape}. The header is wrong"
        )


def _too_short(layout: Layout, found: int) -> InputError:
    return InputError(
        f"the header declares {layout.shape} voxels of {layout.dtype.name}, {layout.nbytes} bytes "
        f"({layout.encoding}), found {max(found, 0)}. The file is damaged or cut short"
    )
