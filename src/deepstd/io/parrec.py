"""Philips scans of two files, a header (.PAR) and stored values (.REC), by nibabel's parser.

    scan.PAR ─ nibabel ─▶ shape, affine, order of the slices, scale of each ─┐
    scan.REC ─ stored values ──────────────────────────────────────────────────┴▶ Volume

Volumes are told apart by their labels, such as echo, phase or diffusion direction. Real-world
values are those displayed on the console. The scan is restored as NIfTI.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import scaled
from deepstd.io.scaled import Scales

if TYPE_CHECKING:
    from pathlib import Path

    from deepstd.volume import Volume

SUFFIXES = (".par",)
DATA_SUFFIX = ".rec"
_SIGNATURE = b"DATA DESCRIPTION FILE"
_MOST_HEADER_BYTES = 1 << 26  # 64 MiB
_MOST_WARNINGS = 4
_NOTE = "a Philips PAR/REC scan: comes back as NIfTI, without what else its header says"


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a .PAR header."""
    return _SIGNATURE in head[:512]


def header_beside(path: Path) -> Path:
    """Return the header of a .REC file; return any other path as it is.

    Raises:
        InputError: the .REC file has no header beside it.
    """
    if path.suffix.lower() != DATA_SUFFIX or not path.is_file():
        return path
    return _partner(path, SUFFIXES[0])


def read(path: Path) -> Volume:
    """Read a scan by its .PAR header.

    Raises:
        GeometryError: the header's affine is not finite or singular.
        InputError: the .REC file is not beside the header, or one of them is damaged or cut short.
    """
    header, affine, told = _header(path)
    data = _partner(path, DATA_SUFFIX)
    shape, dtype = header.get_rec_shape(), header.get_data_dtype()
    _check_size(data, shape, dtype)
    stored = np.fromfile(data, dtype, math.prod(shape)).reshape(shape, order="F")
    ordered = stored[..., header.get_sorted_slice_indices()]
    voxels = ordered.reshape(header.get_data_shape(), order="F")
    zooms = header.get_zooms()
    seconds = float(zooms[3]) if len(zooms) > 3 else 0.0
    frames = (seconds if math.isfinite(seconds) and seconds > 0 else 1.0, 0.0)
    varied = ", ".join(header.get_volume_labels()) if voxels.ndim == 4 else ""
    notes = (_NOTE, *([f"frames differ in {varied}"] if varied else []), *told)
    return scaled.volume_of(voxels, affine, _scales(header), frames, notes)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and type of the voxels that `read` returns.

    Raises:
        InputError: the .REC file is not beside the header, or one of them is damaged or cut short.
    """
    header, _, _ = _header(path)
    dtype = header.get_data_dtype()
    _check_size(_partner(path, DATA_SUFFIX), header.get_rec_shape(), dtype)
    shape = tuple(int(length) for length in header.get_data_shape())
    return shape, scaled.type_of(dtype, _scales(header))


def _header(path: Path) -> tuple[Any, np.ndarray, tuple[str, ...]]:
    """Return nibabel's header, its affine and its warnings."""
    from nibabel.parrec import PARRECError, PARRECHeader

    if path.stat().st_size > _MOST_HEADER_BYTES:
        raise InputError(f"its header has more than {_MOST_HEADER_BYTES} bytes. It is damaged")
    text = path.read_text(encoding="latin-1")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            header = PARRECHeader.from_fileobj(io.StringIO(text), strict_sort=True)
    except Exception as error:  # nibabel raises many kinds of errors and documents one
        raise InputError(f"its header cannot be used ({error})") from error
    try:
        affine = header.get_affine()
    except PARRECError as error:
        raise UnsupportedFormatError(
            f"slices of one scan that differ in geometry, as in a survey, are not supported "
            f"({error}). Export each orientation as a scan of its own"
        ) from error
    told = dict.fromkeys(str(one.message) for one in caught)
    return header, affine, tuple(list(told)[:_MOST_WARNINGS])


def _scales(header: Any) -> Scales:
    return Scales(*header.get_data_scaling("dv"))


def _check_size(data: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    expected, found = math.prod(map(int, shape)) * dtype.itemsize, data.stat().st_size
    if found != expected:
        raise InputError(
            f"its header declares {tuple(map(int, shape))} values of {dtype.name}, {expected} "
            f"bytes, but {data.name} has {found}. One of them is damaged, cut short or of another "
            "scan"
        )


def _partner(path: Path, suffix: str) -> Path:
    """Return the other file of a scan, its suffix in small or capital letters."""
    for spelt in (suffix, suffix.upper(), suffix.capitalize()):
        candidate = path.with_suffix(spelt)
        if candidate.is_file():
            return candidate
    name = f"{path.stem}{suffix.upper()}"
    raise InputError(f"a Philips scan without its {name} beside it. Put both into one folder")
