"""Outlines of scans, from the first bytes of their files alone.

    path ─ first bytes ─▶ format ─ header ─▶ Outline: shape, stored type, header as it is kept

No voxels are read. No library is loaded but those that reading needs for JPEG, PAR/REC and HDF5. An
outline answers quick questions, such as whether a scan fits in memory. Only reading the scan
decides; an unusual header has no outline.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepstd.errors import DeepSTDError
from deepstd.io import (
    archive,
    array,
    hdf5,
    hdf5_scan,
    itk,
    jpeg,
    meta_header,
    nifti,
    nifti_private,
    nrrd_header,
    parrec,
    parts,
    streams,
)
from deepstd.io.formats import HEAD_BYTES
from deepstd.io.limits import names_labels
from deepstd.volume import SourceHeader, Volume

_PNG_HEADER = struct.Struct(">8xI4sIIBB")  # length, "IHDR", columns, rows, bits, colour type
_PNG_GREY = 0
_NIFTI_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip


# Formats whose readers tell shape and type. An empty header stands for theirs, as the smallest.
_BY_READERS = (
    (archive.recognises, archive.declares),
    (hdf5.recognises, hdf5_scan.declares),
    (jpeg.recognises, jpeg.declares),
    (parrec.recognises, parrec.declares),
)


class _Fields(NamedTuple):
    """Struct format and offset of fields of a NIfTI header, without the byte order."""

    name: str
    axes: tuple[str, int]
    type: tuple[str, int]
    voxels: tuple[str, int]
    intent: tuple[str, int]


_NIFTI_FIELDS = {
    348: _Fields("nifti1", ("8h", 40), ("h", 70), ("f", 108), ("h", 68)),
    540: _Fields("nifti2", ("8q", 16), ("h", 12), ("q", 168), ("i", 504)),
}


@dataclass(frozen=True)
class Outline:
    """Facts that a header declares.

    Attributes:
        headers: format and header as they may be kept, with and without free text.
        shape: lengths of 2 to 4 axes.
        dtype: stored type of the voxels.
        labels: True where header or file name declare labels of regions.
    """

    headers: tuple[SourceHeader, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    labels: bool = False

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Size of the stored voxels in bytes."""
        return self.voxels * self.dtype.itemsize


def outline(path: Path) -> Outline | None:
    """Return the facts in the header of a scan's file, or None where it takes reading the scan.

    Errors of the file are not raised here but when the scan is read.
    """
    file, _ = parts.split(path)
    if not file.is_file():  # opening a pipe would block
        return None
    try:
        found = _outline(path)
    except (DeepSTDError, OSError, ValueError, struct.error):
        return None
    labels = found is not None and (found.labels or names_labels(path.name))
    return found if found is None else replace(found, labels=labels)


def _outline(path: Path) -> Outline | None:
    """Return the facts in the header; raise an error where the header is damaged."""
    head = streams.head(parts.split(path)[0], HEAD_BYTES)
    for recognises, declares in _BY_READERS:
        if recognises(head):
            return _checked(SourceHeader("npy"), *declares(path))
    if array.recognises(head):
        return _checked(SourceHeader("npy"), *array.declares(path))
    if head.startswith(nrrd_header.MAGIC):
        layout = nrrd_header.parse(path).layout
        return _checked(SourceHeader(itk.NRRD), layout.shape, layout.dtype)
    if meta_header.recognises(head):
        layout = meta_header.parse(path).layout
        return _checked(SourceHeader(itk.METAIMAGE), layout.shape, layout.dtype)
    return _nifti(head) if nifti.recognises(head) else _png(head)


def _checked(source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype) -> Outline | None:
    usual = 2 <= len(shape) <= 4 and all(length > 0 for length in shape)
    if not usual:
        return None
    headers = (source,)
    if source.format in nifti.NAMES and source.raw:
        headers += (nifti_private.without_text(Volume(np.zeros((1, 1)), None, source)).source,)
    return Outline(headers, tuple(shape), np.dtype(dtype))


def _nifti(head: bytes) -> Outline | None:
    for order in "<>":
        fields = _NIFTI_FIELDS.get(struct.unpack_from(f"{order}i", head)[0])
        if fields is None:
            continue

        def read(field: tuple[str, int], order: str = order) -> tuple[Any, ...]:
            return struct.unpack_from(order + field[0], head, field[1])

        axes, *lengths = read(fields.axes)
        (code,), (offset,), (intent,) = map(read, (fields.type, fields.voxels, fields.intent))
        if code not in _NIFTI_TYPES or not 2 <= axes <= 7 or set(lengths[4:axes]) - {1}:
            return None
        # Extensions that reach beyond the first bytes are not part of the header here.
        raw = head[: int(offset)] if 0 < offset <= len(head) else b""
        dtype = np.dtype(order + _NIFTI_TYPES[code])
        found = _checked(SourceHeader(fields.name, raw), tuple(lengths[: min(axes, 4)]), dtype)
        return found and replace(found, labels=intent == nifti.LABELS)
    return None


def _png(head: bytes) -> Outline | None:
    _, kind, columns, rows, bits, colour = _PNG_HEADER.unpack_from(head)
    if not head.startswith(b"\x89PNG") or kind != b"IHDR" or colour != _PNG_GREY:
        return None
    return _checked(SourceHeader("png"), (rows, columns), np.dtype("u2" if bits == 16 else "u1"))
