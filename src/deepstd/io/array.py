"""NumPy arrays in .npy files, without geometry.

    file ─ header ─▶ type, shape, order ─ voxels ─▶ Volume (affine None)
             └▶ SourceHeader.raw: empty (C order) or b"F" where NumPy itself would write
                the same header, else the header verbatim

Pickled objects are never loaded.
"""

from __future__ import annotations

import io
import math
import os
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.lib import format as npy

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.others import FILE
from deepstd.io.streams import fill
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".npy",)
LOADED = f"numpy.load('{FILE}')"
"""Expression that loads a .npy file, for commands in messages."""
_C_ORDER, _FORTRAN_ORDER = b"", b"F"  # SourceHeader.raw of a header that NumPy would write again


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a .npy file."""
    return head.startswith(npy.MAGIC_PREFIX)


def read(path: Path) -> Volume:
    """Read an array in its stored type, byte order and memory order.

    Raises:
        UnsupportedFormatError: pickled, structured or complex values.
        InputError: the file is damaged or cut short.
    """
    with open(path, "rb") as stream:
        return read_from(stream, os.fstat(stream.fileno()).st_size)


def read_from(stream: BinaryIO, nbytes: int, loaded: str = LOADED) -> Volume:
    """Read an array from a stream that holds a whole .npy file.

    Args:
        stream: at the first byte; it can seek.
        nbytes: bytes of the stream.
        loaded: expression that loads the array, for commands in messages.

    Raises:
        UnsupportedFormatError: pickled, structured or complex values.
        InputError: the file is damaged or cut short.
    """
    shape, fortran, dtype = begin(stream, nbytes, loaded)
    start = stream.tell()
    stored = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    fill(stream, stored.data)
    stream.read(1)  # to the end, so that the checksum of a packed file is compared
    stream.seek(0)
    header = stream.read(start)
    voxels = stored.view(dtype).reshape(shape, order="F" if fortran else "C")
    raw = _FORTRAN_ORDER if fortran else _C_ORDER
    if header != _header(voxels, fortran):
        raw = header
    return Volume(voxels, None, SourceHeader("npy", raw))


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and stored type that the header of an array declares.

    Raises:
        UnsupportedFormatError: pickled, structured or complex values.
        InputError: the file is damaged or cut short.
    """
    with open(path, "rb") as stream:
        shape, _, dtype = begin(stream, os.fstat(stream.fileno()).st_size)
    return shape, dtype


def write(volume: Volume, path: Path) -> None:
    """Write the voxels in the memory order of their .npy source, else in C order.

    Raises:
        InputError: the volume's .npy header does not fit its voxels.
    """
    raw = volume.source.raw if volume.source.format == "npy" else _C_ORDER
    voxels, fortran = volume.voxels, raw == _FORTRAN_ORDER
    header = _header(voxels, fortran)
    if raw not in (_C_ORDER, _FORTRAN_ORDER):
        fortran, dtype = _checked_header(raw, voxels.shape, voxels.dtype)
        voxels, header = voxels.astype(dtype, copy=False), raw
    stored = np.ascontiguousarray(voxels.T if fortran else voxels)
    with open(path, "wb") as stream:
        stream.write(header)
        stream.write(stored.reshape(-1).view(np.uint8).data)


def check_header(raw: bytes, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise an InputError where a kept .npy header describes another shape or type."""
    if raw not in (b"", _C_ORDER, _FORTRAN_ORDER):
        _checked_header(raw, shape, dtype)


def _checked_header(raw: bytes, shape: tuple[int, ...], dtype: np.dtype) -> tuple[bool, np.dtype]:
    try:
        declared, fortran, kind = _read_header(io.BytesIO(raw))
    except ValueError as error:
        raise InputError(f"not a .npy header ({error})") from error
    if declared != shape or kind.newbyteorder("=") != dtype.newbyteorder("="):
        raise InputError(
            f"the scan has {shape} values of {dtype}, its header declares {declared} of {kind}"
        )
    return fortran, kind


def begin(
    stream: BinaryIO, nbytes: int, loaded: str = LOADED
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read a header and check its shape and type against the size of the file.

    Args:
        stream: at the first byte of the header; it can seek.
        nbytes: bytes of the file.
        loaded: expression that loads the array, for commands in messages.

    Returns:
        Shape, whether the values are in Fortran order, and stored type.

    Raises:
        UnsupportedFormatError: no scan, such as pickled, structured or complex values.
        InputError: the file is damaged or cut short.
    """
    shape, fortran, dtype = _read_header(stream)
    check(shape, dtype, loaded)
    expected = math.prod(shape) * dtype.itemsize
    start = stream.tell()
    found = nbytes - start
    if found > expected:
        stream.seek(start + expected)
        several = recognises(stream.read(len(npy.MAGIC_PREFIX)))
        stream.seek(start)
        if several:
            raise UnsupportedFormatError(
                "several arrays in one file are not supported. Save each as a file of its own, the "
                f"first with {_saving('a', loaded)}"
            )
    if expected != found:
        raise InputError(
            f"the header declares {shape} values of {dtype}, {expected} bytes, but {found} "
            "follow it. The file is damaged or cut short"
        )
    return shape, fortran, dtype


def describes(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Read a header and return the shape and type that it declares, whatever they are."""
    shape, _, dtype = _read_header(stream)
    return shape, dtype


def is_scan(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Return whether an array can be a scan: 2 to 4 axes, none empty, of one number a voxel."""
    numbers = dtype.kind in "iufb" and dtype.itemsize <= 8
    return numbers and 2 <= len(shape) <= 4 and 0 not in shape


def check(shape: tuple[int, ...], dtype: np.dtype, loaded: str = LOADED) -> None:
    """Raise an UnsupportedFormatError where an array cannot be a scan.

    Args:
        shape: lengths of its axes.
        dtype: its type.
        loaded: expression that loads the array, for commands in messages.
    """
    if dtype.kind not in "iufb" or dtype.itemsize > 8:
        raise UnsupportedFormatError(
            f"an array of type {dtype} is not supported: expected integers, booleans or floats "
            f"of at most 64 bits. {_way_out(dtype, loaded)}"
        )
    if not is_scan(shape, dtype):
        squeezed = len([length for length in shape if length != 1])
        way_out = "Save each part of 2 to 4 axes as an array of its own"
        if 2 <= squeezed <= 4 and 0 not in shape:
            way_out = f"Leave out axes of length one: {_saving('a.squeeze()', loaded)}"
        raise UnsupportedFormatError(
            f"an array of shape {shape} is not supported: expected 2 to 4 axes, none empty. "
            f"{way_out}"
        )


def _way_out(dtype: np.dtype, loaded: str) -> str:
    """Return advice on saving values of an unsupported type as a supported one."""
    if dtype.kind == "c":
        parts = _saving("a.real", loaded)
        return f"Save real and imaginary parts as arrays of their own, the first with {parts}"
    if dtype.names:
        field = _saving(f"a['{dtype.names[0]}']", loaded)
        return f"Save each field as an array of its own, the first with {field}"
    if dtype.kind == "f":
        wide = _saving("a.astype('float64')", loaded)
        return f"Where 64 bits are precise enough: {wide}"
    return "Save numbers, one grey value per voxel"


def _saving(values: str, loaded: str) -> str:
    """Return a command that saves an expression of an array ``a``."""
    module = loaded.partition(".")[0]
    modules = "numpy" if module == "numpy" else f"numpy, {module}"
    return f"python -c \"import {modules}; a = {loaded}; numpy.save('scan.npy', {values})\""


def _header(voxels: np.ndarray, fortran: bool) -> bytes:
    stream = io.BytesIO()
    described = {
        "descr": npy.dtype_to_descr(voxels.dtype),
        "fortran_order": fortran,
        "shape": voxels.shape,
    }
    npy.write_array_header_1_0(stream, described)
    return stream.getvalue()


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise UnsupportedFormatError(
        f".npy version {version} is not supported: expected a plain array of numbers"
    )
