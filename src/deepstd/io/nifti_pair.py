"""NIfTI scans in two files, a header (.hdr) and an image (.img, .img.gz).

    scan.hdr ─ header, extensions ─┐
    scan.img ─ voxels ─────────────┴▶ Volume with the header of one .nii file

Only signature and offset of the header change. The scan is restored as one file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepstd.errors import InputError
from deepstd.io import nifti
from deepstd.io.nifti_header import FIRST_OFFSET, HEADER_BYTES, MAGIC, PAIR, SINGLE_FILE, header_of
from deepstd.io.nifti_header import kind_of as nifti_kind_of
from deepstd.io.streams import opened, take
from deepstd.volume import SourceHeader, Volume

HEADER_SUFFIXES = (".hdr", ".hdr.gz")
IMAGE_SUFFIXES = (".img", ".img.gz", ".img.bz2")
_MOST_HEADER_BYTES = 1 << 25  # 32 MiB, extensions included


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is the header of a pair."""
    kind = nifti_kind_of(head)
    return kind is not None and head[MAGIC[kind]] == PAIR[kind]


def header_beside(path: Path) -> Path:
    """Return the header of an image file; return any other path as it is.

    Raises:
        InputError: the image has no header beside it.
    """
    if not path.name.lower().endswith(IMAGE_SUFFIXES) or not path.is_file():
        return path
    found = _partner(path, HEADER_SUFFIXES)
    if found is None:
        raise InputError(
            f"an image file without its header {_stem(path)}.hdr beside it. Put both into one "
            "folder"
        )
    return found


def read(path: Path) -> Volume:
    """Read a pair by its header file.

    Raises:
        UnsupportedFormatError: a data type that is not one grey value, or more than four axes.
        InputError: the image is not beside the header, or one of the files is damaged.
    """
    joined, kind, skipped, image = _joined(path)
    with opened(image) as unpacked:
        layout = nifti.begins(joined, kind, unpacked.most - skipped + len(joined))
        take(unpacked.stream, skipped, "what precedes the voxels")
        stored, end = nifti.read_stored(unpacked.stream, layout)
    notes = (*unpacked.notes, "a header and image pair: comes back as one .nii file")
    return nifti.volume_of(stored, SourceHeader(kind, joined + end), layout, notes)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and stored type that the header of a pair declares.

    Raises:
        UnsupportedFormatError: a data type that is not one grey value, or more than four axes.
        InputError: the image is missing, or cannot hold the voxels.
    """
    joined, kind, skipped, image = _joined(path)
    with opened(image) as unpacked:
        layout = nifti.begins(joined, kind, unpacked.most - skipped + len(joined))
    return layout.frame_shape, layout.dtype


def _joined(path: Path) -> tuple[bytes, str, int, Path]:
    """Return a single-file header, its kind, the offset of the voxels in the image and its path."""
    with opened(path) as unpacked:
        raw = unpacked.stream.read(_MOST_HEADER_BYTES)
    kind = nifti_kind_of(raw)
    if kind is None or len(raw) < HEADER_BYTES[kind]:
        raise InputError("the file ends in the header. It is cut short")
    image = _partner(path, IMAGE_SUFFIXES)
    if image is None:
        raise InputError(f"its image file {_stem(path)}.img is not beside it. Copy both")
    size = HEADER_BYTES[kind]
    header = header_of(raw, kind)
    skipped = float(header["vox_offset"])
    if not 0 <= skipped < 2**53:
        raise InputError(f"voxels begin at byte {skipped:g} of the image. The header is damaged")
    extensions = raw[size:] if len(raw) >= FIRST_OFFSET[kind] else bytes(FIRST_OFFSET[kind] - size)
    header["magic"], header["vox_offset"] = SINGLE_FILE[kind], size + len(extensions)
    return header.binaryblock + extensions, kind, int(skipped), image


def _stem(path: Path) -> str:
    name = path.name
    for suffix in sorted((*HEADER_SUFFIXES, *IMAGE_SUFFIXES), key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _partner(path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the other file of a pair, its suffix in small or capital letters; None if missing."""
    stem = _stem(path)
    for suffix in suffixes:
        for spelt in (suffix, suffix.upper()):
            candidate = path.with_name(stem + spelt)
            if candidate.is_file():
                return candidate
    return None
