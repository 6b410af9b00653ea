"""FreeSurfer volumes (.mgh, .mgz).

    file ─ unpacked ─ header (284 bytes) ─ nibabel ─▶ affine, type, shape
                      voxels, big-endian ───────────▶ Volume with a fresh NIfTI header

The scan is restored as NIfTI: its own header is not kept.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from deepstd.errors import InputError
from deepstd.io import nifti
from deepstd.io.scaled import checked_affine
from deepstd.io.streams import fill, opened, take
from deepstd.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, BinaryIO

SUFFIXES = (".mgh", ".mgz", ".mgh.gz")
_HEADER_BYTES = 284
_TYPES = (0, 1, 3, 4, 10)  # uint8, int32, float32, int16, uint16
_FOOTER_BYTES = 20  # repetition time, flip angle, echo time, inversion time, field of view
_DTYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_NOTE = "a FreeSurfer volume: comes back as NIfTI, without what else its header and footer say"


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` (unpacked) is a FreeSurfer volume."""
    # The third byte of the version is an intent code in FreeSurfer 7.3 and later.
    if len(head) < _HEADER_BYTES or head[:2] != b"\0\0" or head[3] != 1:
        return False
    lengths = [int.from_bytes(head[n : n + 4], "big", signed=True) for n in (4, 8, 12, 16)]
    return min(lengths) > 0 and int.from_bytes(head[20:24], "big", signed=True) in _TYPES


def read(path: Path) -> Volume:
    """Read a scan; voxels in native byte order, with a fresh NIfTI header.

    Raises:
        GeometryError: the header's affine is not finite or singular.
        InputError: the file is damaged or cut short.
    """
    with opened(path) as unpacked:
        header, shape, dtype = _begin(unpacked.stream, unpacked.most)
        voxels = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
        fill(unpacked.stream, voxels.data)
        footer = unpacked.stream.read(_FOOTER_BYTES)
        while unpacked.stream.read(1 << 20):
            pass  # tags; to the end, so that the checksum of a packed file is compared
    stored = voxels.view(dtype).reshape(shape, order="F").astype(dtype.newbyteorder("="))
    affine = checked_affine(header.get_affine())
    repetition = float(np.frombuffer(footer[:4], ">f4")[0]) if len(footer) >= 4 else 0.0
    seconds = repetition / 1e3 if math.isfinite(repetition) and repetition > 0 else 1.0
    frames = (seconds, 0.0) if len(shape) == 4 else (1.0, 0.0)
    scan = Volume(stored, affine, notes=(*unpacked.notes, _NOTE))
    return nifti.with_fresh_header(scan, frames)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and stored type that the header of a file declares.

    Raises:
        InputError: the file is damaged or cut short.
    """
    with opened(path) as unpacked:
        _, shape, dtype = _begin(unpacked.stream, unpacked.most)
    return shape, dtype.newbyteorder("=")


def _begin(stream: BinaryIO, most: int) -> tuple[Any, tuple[int, ...], np.dtype]:
    """Return nibabel's header, the shape and the type, checked against the size of the file."""
    from nibabel.freesurfer.mghformat import MGHHeader

    raw = take(stream, _HEADER_BYTES, "the header")
    header = MGHHeader.from_fileobj(BytesIO(raw), check=False)
    shape = tuple(int(n) for n in header["dims"])
    shape = shape[:3] if shape[3] == 1 else shape
    dtype = np.dtype(_DTYPES[int(header["type"])])
    nbytes = math.prod(shape) * dtype.itemsize
    if _HEADER_BYTES + nbytes > most:
        raise InputError(
            f"the header declares {shape} voxels of {dtype.name}, {nbytes} bytes, but the file "
            f"cannot hold more than {most}. It is damaged or cut short"
        )
    return header, shape, dtype
