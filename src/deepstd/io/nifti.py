"""NIfTI-1 and NIfTI-2 files, plain, gzipped or bzip2ed, of either byte order.

    file ─ header (348 or 540) ─ extensions ─ voxels ─ whatever follows
             └──────────┬──────────┘            │             │
             SourceHeader.raw ◀─────────────────│─────────────┘
             affine (RAS+ mm) ◀─ header         └▶ stored values, slope and intercept not applied

`write` puts the same bytes back at the same offsets: an unmodified volume gives its source file.
nibabel interprets the header. The bytes are read here, to check the header against the size of the
file before memory is allocated.
"""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from deepstd.errors import InputError
from deepstd.io import nifti_affine
from deepstd.io.nifti_header import (
    FIRST_OFFSET,
    HEADER_BYTES,
    NAMES,
    Layout,
    header_of,
    kind_of,
    layout_of,
)
from deepstd.io.streams import fill, opened, take
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".nii.gz", ".nii")
PACKED_SUFFIXES = (".nii.bz2",)
_MAX_NIFTI1_AXIS = 32767  # voxels: dim is int16
_MAX_EXTENSION_BYTES = 1 << 25  # 32 MiB, against damaged offsets
_MAX_TRAILING_BYTES = 1 << 16  # 64 KiB, kept with the header
LABELS = 1002  # NIFTI_INTENT_LABEL
# Level 6 takes three times as long on CT for 3 % less.
_GZIP_LEVEL = 1


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` (unpacked) is NIfTI or Analyze."""
    return kind_of(head) is not None


def affine_of(source: SourceHeader) -> np.ndarray:
    """Return the voxel-to-world matrix of a raw header, 4x4 float64, RAS+ mm.

    The sform is preferred to the qform, and the qform to voxel sizes alone; see `nifti_affine`.

    Raises:
        InputError: the header is damaged.
    """
    return nifti_affine.placed(layout_of(source.raw, source.format).header).affine


def placement_of(source: SourceHeader) -> np.ndarray:
    """Return the affine (4x4, RAS+ mm) that aligns a scan with a template.

    This affine is a part of the file format. It is nibabel's where nibabel has one, even where
    `affine_of` repairs the header.

    Raises:
        InputError: the header is damaged.
    """
    header = layout_of(source.raw, source.format).header
    stated = nifti_affine.stated_affine(header)
    return nifti_affine.placed(header).affine if stated is None else stated


def frame_step_of(source: SourceHeader) -> tuple[float, float]:
    """Return the distance between frames and the position of the first.

    Both are in seconds where the fourth axis is time.

    Raises:
        InputError: the header is damaged.
    """
    return nifti_affine.frame_step(header_of(source.raw, source.format))


def read(path: Path) -> Volume:
    """Read a scan; voxels in the stored type and byte order, in Fortran order.

    Raises:
        UnsupportedFormatError: a data type that is not one grey value, or more than four axes.
        InputError: the file is damaged or cut short.
    """
    with opened(path) as unpacked:
        stream = unpacked.stream
        start, kind, layout = _begin(stream, unpacked.most)
        start += take(stream, layout.offset - len(start), "the header extensions")
        stored, end = read_stored(stream, layout)
    return volume_of(stored, SourceHeader(kind, start + end), layout, unpacked.notes)


def read_stored(stream: BinaryIO, layout: Layout) -> tuple[np.ndarray, bytes]:
    """Read the voxels that a header declares, and the bytes after them.

    Raises:
        InputError: the file holds fewer voxels, or far more.
    """
    voxels = np.empty(layout.nbytes, np.uint8)
    fill(stream, voxels.data)
    end = stream.read(_MAX_TRAILING_BYTES + 1)
    # An axis of length 0 is read as length 1, unless the file holds voxels for more.
    if len(end) > _MAX_TRAILING_BYTES or (layout.has_empty_axes and len(end) >= layout.nbytes):
        raise InputError(
            f"more than the {layout.nbytes} bytes of voxels follow that the header declares with "
            f"shape {layout.shape}. The header is wrong"
        )
    return voxels.view(layout.dtype).reshape(layout.frame_shape, order="F"), end


def volume_of(
    stored: np.ndarray, source: SourceHeader, layout: Layout, notes: tuple[str, ...] = ()
) -> Volume:
    """Return a scan with notes on its header."""
    header = layout.header
    affine, told = nifti_affine.placed(header)
    told += nifti_affine.scale_notes(header)
    if layout.has_empty_axes:
        told += (
            "an axis has length 0 in the header: read as 1, as SimpleITK does; nibabel finds no "
            "voxels",
        )
    labels = int(header["intent_code"]) == LABELS
    return Volume(stored, affine, source, told + notes, labels=labels)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and stored type that the header of a scan declares.

    Raises:
        UnsupportedFormatError: a data type that is not one grey value, or more than four axes.
        InputError: the header is damaged, or declares more voxels than the file can hold.
    """
    with opened(path) as unpacked:
        _, _, layout = _begin(unpacked.stream, unpacked.most)
    return layout.frame_shape, layout.dtype


def write(
    volume: Volume,
    path: Path,
    scale: tuple[float, float] = (1.0, 0.0),
    frames: tuple[float, float] = (1.0, 0.0),
) -> None:
    """Write a scan with its own header where it came from NIfTI, else with a fresh one.

    A fresh header is NIfTI-1 where the axes fit. Booleans become uint8, float16 becomes float32.

    Args:
        volume: the scan.
        path: file to write, gzipped where it ends in .gz.
        scale: slope and intercept in a fresh header.
        frames: distance between frames and position of the first in a fresh header, in seconds.

    Raises:
        InputError: the volume's NIfTI header does not fit its voxels or affine.
    """
    if volume.source.format in NAMES:
        raw = volume.source.raw
        layout = _own_layout(volume)
    else:
        raw, layout = _fresh_header(volume, scale, frames)
    # The file holds the transpose of a Fortran-ordered array, in C order.
    stored = np.ascontiguousarray(volume.voxels.T, dtype=layout.dtype)
    with _create(path) as stream:
        stream.write(raw[: layout.offset])
        stream.write(stored.reshape(-1).view(np.uint8).data)
        stream.write(raw[layout.offset :])


def check_header(source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return the affine of a header that describes voxels of this shape and type.

    Raises:
        InputError: the header is damaged, or describes other voxels.
    """
    return nifti_affine.placed(_checked_layout(source, shape, dtype).header).affine


def check_affine(affine: np.ndarray | None, declared: np.ndarray) -> None:
    """Raise an InputError where a scan's affine differs from its header's."""
    if affine is None or not np.allclose(affine, declared, rtol=1e-5, atol=1e-5):
        raise InputError(
            "the scan's affine is not the one of its header. Give the volume a "
            "SourceHeader('npy') to write it with a fresh header"
        )


def with_fresh_header(
    volume: Volume,
    frames: tuple[float, float] = (1.0, 0.0),
    scale: tuple[float, float] = (1.0, 0.0),
) -> Volume:
    """Return the scan with a fresh header that declares its affine.

    Args:
        volume: the scan.
        frames: distance between frames and position of the first, in seconds.
        scale: slope and intercept from stored to real-world values.

    Raises:
        InputError: no NIfTI header can declare voxels of its type.
    """
    raw, layout = _fresh_header(volume, scale, frames)
    if layout.dtype.newbyteorder("=") != volume.voxels.dtype.newbyteorder("="):
        raise InputError(
            f"a scan of type {volume.voxels.dtype} cannot keep an affine: convert it to "
            f"{layout.dtype}"
        )
    kind = "nifti1" if len(raw) == FIRST_OFFSET["nifti1"] else "nifti2"
    affine = nifti_affine.placed(layout.header).affine
    return replace(volume, affine=affine, source=SourceHeader(kind, raw))


def begins(start: bytes, kind: str, most: int) -> Layout:
    """Parse a header and check it against the size of the file.

    Args:
        start: bytes of the header.
        kind: "nifti1" or "nifti2".
        most: upper bound of the unpacked file's size in bytes.

    Raises:
        UnsupportedFormatError: a data type that is not one grey value, or more than four axes.
        InputError: the header is damaged, or declares more voxels than the file can hold.
    """
    layout = layout_of(start, kind)
    if layout.offset - len(start) > _MAX_EXTENSION_BYTES:
        raise InputError(
            f"voxels begin at byte {layout.offset}, expected at most "
            f"{_MAX_EXTENSION_BYTES} bytes of header extensions. The header is damaged"
        )
    if layout.offset + layout.nbytes > most:
        raise InputError(
            f"the header declares {layout.shape} voxels of {layout.dtype.name} from byte "
            f"{layout.offset}, {layout.nbytes} bytes, but the file cannot hold more than "
            f"{most}. It is damaged or cut short"
        )
    return layout


def _begin(stream: BinaryIO, most: int) -> tuple[bytes, str, Layout]:
    """Return the bytes of the header, its kind and its layout."""
    start = take(stream, HEADER_BYTES["nifti1"], "the header")
    kind = kind_of(start)
    if kind is None:
        raise InputError("not a NIfTI header")
    start += take(stream, HEADER_BYTES[kind] - len(start), "the header")
    return start, kind, begins(start, kind, most)


def _own_layout(volume: Volume) -> Layout:
    layout = _checked_layout(volume.source, volume.shape, volume.voxels.dtype)
    check_affine(volume.affine, nifti_affine.placed(layout.header).affine)
    return layout


def _checked_layout(source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype) -> Layout:
    layout = layout_of(source.raw, source.format)
    if len(source.raw) < layout.offset:
        raise InputError(
            f"the scan's header ends at byte {len(source.raw)}, before its voxels begin "
            f"at byte {layout.offset}"
        )
    stored = dtype.newbyteorder("=")
    if (layout.frame_shape, layout.dtype.newbyteorder("=")) != (shape, stored):
        raise InputError(
            f"the scan has {shape} voxels of {stored}, its header declares "
            f"{layout.frame_shape} of {layout.dtype.name}. Give the volume a "
            "SourceHeader('npy') to write it with a fresh header"
        )
    return layout


def _fresh_header(
    volume: Volume,
    scale: tuple[float, float] = (1.0, 0.0),
    frames: tuple[float, float] = (1.0, 0.0),
) -> tuple[bytes, Layout]:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    kind = "nifti1" if max(volume.shape) <= _MAX_NIFTI1_AXIS else "nifti2"
    header = Nifti1Header() if kind == "nifti1" else Nifti2Header()
    dtype = volume.voxels.dtype.newbyteorder("=")
    dtype = {"bool": np.dtype("u1"), "float16": np.dtype("f4")}.get(dtype.name, dtype)
    header.set_data_dtype(dtype)
    header.set_data_shape(volume.shape)
    spacing = volume.spacing
    if volume.affine is not None and spacing is not None:
        header.set_zooms(spacing + (1.0,) * (len(volume.shape) - len(spacing)))
        header.set_sform(volume.affine, code="aligned")
        header.set_xyzt_units(xyz="mm")
    if frames != (1.0, 0.0):
        header["pixdim"][4], header["toffset"] = frames
        header.set_xyzt_units(xyz="mm" if volume.affine is not None else 0, t="sec")
    header["vox_offset"] = FIRST_OFFSET[kind]
    if scale != (1.0, 0.0):
        header["scl_slope"], header["scl_inter"] = scale
    raw = header.binaryblock + bytes(FIRST_OFFSET[kind] - len(header.binaryblock))
    return raw, layout_of(raw, kind)


@contextmanager
def _create(path: Path) -> Iterator[BinaryIO]:
    with open(path, "wb") as stored:
        if not path.name.lower().endswith(".gz"):
            yield stored
            return
        # Without name and time, equal scans give equal files.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, stored, mtime=0) as stream:
            yield cast("BinaryIO", stream)
