"""The formats whose scans are one file each.

first bytes, unzipped ─ format_of_content ─▶ Format ─ read
suffix ─ format_of_suffix ─▶ Format ─ write
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import (
    array,
    dicom,
    image,
    itk,
    meta_header,
    nifti,
    nifti_private,
    nrrd_header,
    rescale,
    stack,
)
from deepstd.io.metadata import Metadata

if TYPE_CHECKING:
    import numpy as np

    from deepstd.volume import Volume

HEAD_BYTES = 4096
_UNZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Format:
    """How one family of files is told from others, read and written.

    Attributes:
        label: its name in messages.
        suffixes: of its files, in small letters.
        recognises: whether a file begins as one of these does, given its first bytes unzipped.
        read: path to volume, with as much of its header as is asked for.
        write: volume to a path with one of the suffixes.
        declares: path to shape and type, without reading the voxels.
    """

    label: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, Metadata], Volume]
    write: Callable[[Volume, Path], None]
    declares: Callable[[Path], tuple[tuple[int, ...], np.dtype] | None] | None = None


def _read_nifti(path: Path, metadata: Metadata) -> Volume:
    volume = nifti.read(path)
    return nifti_private.without_text(volume) if metadata is Metadata.NONE else volume


def _write_nifti(volume: Volume, path: Path) -> None:
    nifti.write(volume, path, rescale.scale_of(volume.source))


def _write_image(volume: Volume, path: Path) -> None:
    shown = dicom.picture(volume) if volume.source.format == dicom.NAME else volume
    stack.write_pages(shown, path)


_FORMATS = (
    Format("NIfTI", nifti.SUFFIXES, nifti.recognises, _read_nifti, _write_nifti, nifti.declares),
    Format(
        "NRRD",
        itk.NRRD_SUFFIXES,
        lambda head: head.startswith(nrrd_header.MAGIC),
        itk.read_nrrd,
        itk.write,
    ),
    Format(
        "MetaImage", itk.METAIMAGE_SUFFIXES, meta_header.recognises, itk.read_metaimage, itk.write
    ),
    Format(
        "NumPy",
        array.SUFFIXES,
        array.recognises,
        lambda path, metadata: array.read(path),
        array.write,
        array.declares,
    ),
    Format(
        "image",
        image.SUFFIXES,
        image.recognises,
        lambda path, metadata: stack.read_file(path),
        _write_image,
        image.declares,
    ),
)
SUFFIXES = tuple(suffix for family in _FORMATS for suffix in family.suffixes)
# Of whatever holds a scan, those that cannot be read or written here included.
SCAN_SUFFIXES = (
    *SUFFIXES, ".dcm", ".hdr", ".img", ".img.gz", ".nii.bz2", ".nii.zst", ".mgz", ".mgh", ".npz",
    ".zip", ".jpg", ".jpeg",
)  # fmt: skip
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xd5STD\r\n\n", "a .dstd file, compressed already. Decompress it instead"),
    (0, b"\xff\xd8\xff", "a JPEG image, which has lost detail already. Use a PNG or TIFF original"),
)


def format_of_content(path: Path) -> Format:
    """The format of an existing file.

    Raises:
        UnsupportedFormatError: it is of another kind.
        InputError: it is damaged.
    """
    if path.exists() and not path.is_file():
        raise InputError("not an ordinary file. Save the scan to a file first")
    head = first_bytes(path)
    for offset, magic, what in _OTHERS:
        if head[offset:].startswith(magic):
            raise UnsupportedFormatError(what)
    for family in _FORMATS:
        if family.recognises(head):
            return family
    name = path.name.lower()
    if name.endswith((".hdr", ".img", ".img.gz")):
        raise UnsupportedFormatError(nifti.PAIR_ADVICE)
    for family in _FORMATS:
        if name.endswith(family.suffixes):
            raise InputError(
                f"does not begin as a {family.label} file, which its suffix promises. It is "
                "damaged, cut short or of another kind"
            )
    raise UnsupportedFormatError(f"a file of an unknown kind: expected {', '.join(SUFFIXES)}")


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, unzipped where it is gzipped.

    Raises:
        UnsupportedFormatError: a gzipped file of a kind that must not be.
        InputError: a damaged gzip file.
    """
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head.startswith(nifti.GZIP_MAGIC):
        return head
    try:
        unzipped = zlib.decompressobj(_UNZIP).decompress(head, HEAD_BYTES)
    except zlib.error as error:
        raise InputError(f"a damaged gzip file ({error}). Copy or download it again") from error
    if array.recognises(unzipped) or image.recognises(unzipped):
        raise UnsupportedFormatError("gzipped, which only NIfTI files may be. Unzip it first")
    return unzipped


def format_of_suffix(path: Path) -> Format:
    """The format that a name asks for.

    Raises:
        UnsupportedFormatError: it asks for none.
    """
    name = path.name.lower()
    for family in _FORMATS:
        if name.endswith(family.suffixes):
            return family
    if name.endswith((".hdr", ".img", ".img.gz")):
        raise UnsupportedFormatError("a header and image pair cannot be written. Use .nii.gz")
    if name.endswith(".dstd"):
        raise UnsupportedFormatError(
            "has the name of a compressed scan, but a scan is to be written. Use .nii.gz"
        )
    raise UnsupportedFormatError(
        f"the suffix names no format: expected one of {', '.join(SUFFIXES)}"
    )
