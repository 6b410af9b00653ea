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
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("npy",)
SUFFIXES = (".npy",)
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
        shape, fortran, dtype = _begin(stream)
        start = stream.tell()
        values = np.fromfile(stream, dtype=dtype, count=math.prod(shape))
        stream.seek(0)
        header = stream.read(start)
    voxels = values.reshape(shape, order="F" if fortran else "C")
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
        shape, _, dtype = _begin(stream)
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


def _begin(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read a header and check its shape and type against the size of the file.

    Returns:
        Shape, whether the values are in Fortran order, and stored type.
    """
    shape, fortran, dtype = _read_header(stream)
    if dtype.kind not in "iufb" or dtype.itemsize > 8:
        raise UnsupportedFormatError(
            f"an array of type {dtype} is not supported: expected integers, booleans or floats "
            f"of at most 64 bits. {_way_out(dtype)}"
        )
    if not 2 <= len(shape) <= 4 or 0 in shape:
        squeezed = len([length for length in shape if length != 1])
        way_out = "Save each part of 2 to 4 axes as an array of its own"
        if 2 <= squeezed <= 4 and 0 not in shape:
            way_out = f"Leave out axes of length one: {_saving('a.squeeze()')}"
        raise UnsupportedFormatError(
            f"an array of shape {shape} is not supported: expected 2 to 4 axes, none empty. "
            f"{way_out}"
        )
    expected = math.prod(shape) * dtype.itemsize
    start = stream.tell()
    found = os.fstat(stream.fileno()).st_size - start
    if found > expected:
        stream.seek(start + expected)
        several = recognises(stream.read(len(npy.MAGIC_PREFIX)))
        stream.seek(start)
        if several:
            raise UnsupportedFormatError(
                "several arrays in one file are not supported. Save each as a file of its own, the "
                f"first with {_saving('a')}"
            )
    if expected != found:
        raise InputError(
            f"the header declares {shape} values of {dtype}, {expected} bytes, but {found} "
            "follow it. The file is damaged or cut short"
        )
    return shape, fortran, dtype


def _way_out(dtype: np.dtype) -> str:
    """Return advice on saving values of an unsupported type as a supported one."""
    if dtype.kind == "c":
        parts = _saving("a.real")
        return f"Save real and imaginary parts as arrays of their own, the first with {parts}"
    if dtype.names:
        field = _saving(f"a['{dtype.names[0]}']")
        return f"Save each field as an array of its own, the first with {field}"
    if dtype.kind == "f":
        wide = _saving("a.astype('float64')")
        return f"Where 64 bits are precise enough: {wide}"
    return "Save numbers, one grey value per voxel"


def _saving(values: str) -> str:
    """Return a command that saves an expression of an array ``a``."""
    return f"python -c \"import numpy; a = numpy.load('{FILE}'); numpy.save('scan.npy', {values})\""


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
