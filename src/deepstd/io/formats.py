"""Table of the single-file formats: how each is recognised, read and written.

first bytes, unpacked ─ format_of_content ─▶ Format ─ read
suffix ─ format_of_suffix ─▶ Format ─ write
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import (
    archive,
    array,
    hdf5,
    hdf5_scan,
    headers,
    image,
    itk,
    jpeg,
    meta_header,
    mgh,
    minc,
    nifti,
    nifti_pair,
    nifti_private,
    nrrd_header,
    others,
    parrec,
    parts,
    rescale,
    streams,
    tiff,
)
from deepstd.io.metadata import KeptMetadata, Metadata
from deepstd.io.world import as_pictures, in_world

if TYPE_CHECKING:
    import numpy as np

    from deepstd.volume import Volume

HEAD_BYTES = 4096  # bytes at the start of a file by which its format is recognised


def _not_written(volume: Volume, path: Path) -> None:
    raise UnsupportedFormatError("files of this format are read and not written. Use .nii.gz")


@dataclass(frozen=True)
class Format:
    """Recogniser, reader and writer of one file format.

    Attributes:
        label: name of the format in messages.
        suffixes: lower-case suffixes of written files; empty where the format is only read.
        recognises: returns whether the first unpacked bytes of a file are of this format.
        read: reads a file with as much of its metadata as is asked for.
        write: writes a volume to a path with one of ``suffixes``.
        declares: returns shape and stored type of a file without reading its voxels.
        read_suffixes: suffixes of files that are only read.
        packed: whether files may be packed with gzip or bzip2.
        arrays: whether a file may hold several arrays, one of which file::name names.
    """

    label: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, KeptMetadata], Volume]
    write: Callable[[Volume, Path], None] = _not_written
    declares: Callable[[Path], tuple[tuple[int, ...], np.dtype]] | None = None
    read_suffixes: tuple[str, ...] = ()
    packed: bool = False
    arrays: bool = False


def _of_nifti(read: Callable[[Path], Volume]) -> Callable[[Path, KeptMetadata], Volume]:
    def read_as_asked(path: Path, metadata: KeptMetadata) -> Volume:
        volume = read(path)
        return nifti_private.without_text(volume) if metadata is Metadata.NONE else volume

    return read_as_asked


def _write_nifti(volume: Volume, path: Path) -> None:
    scale, frames = rescale.scale_of(volume.source), headers.frames_of(volume)
    nifti.write(in_world(volume), path, scale, frames)


_FORMATS = (
    Format(
        "NIfTI pair",
        (),
        nifti_pair.recognises,
        _of_nifti(nifti_pair.read),
        declares=nifti_pair.declares,
        read_suffixes=nifti_pair.HEADER_SUFFIXES,
        packed=True,
    ),
    Format(
        "NIfTI",
        nifti.SUFFIXES,
        nifti.recognises,
        _of_nifti(nifti.read),
        _write_nifti,
        nifti.declares,
        nifti.PACKED_SUFFIXES,
        packed=True,
    ),
    Format(
        "FreeSurfer",
        (),
        mgh.recognises,
        lambda path, metadata: mgh.read(path),
        declares=mgh.declares,
        read_suffixes=mgh.SUFFIXES,
        packed=True,
    ),
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
        "NumPy archive",
        (),
        archive.recognises,
        lambda path, metadata: archive.read(path),
        declares=archive.declares,
        read_suffixes=archive.SUFFIXES,
        arrays=True,
    ),
    Format(
        "HDF5",
        (),
        hdf5.recognises,
        lambda path, metadata: hdf5_scan.read(path),
        declares=hdf5_scan.declares,
        read_suffixes=hdf5.SUFFIXES,
        arrays=True,
    ),
    Format(
        "MINC",
        (),
        minc.recognises,
        lambda path, metadata: minc.read(path),
        declares=minc.declares,
        read_suffixes=minc.SUFFIXES,
    ),
    Format(
        "PAR/REC",
        (),
        parrec.recognises,
        lambda path, metadata: parrec.read(path),
        declares=parrec.declares,
        read_suffixes=parrec.SUFFIXES,
    ),
    Format(
        "PNG",
        image.SUFFIXES,
        image.recognises,
        lambda path, metadata: image.read(path),
        lambda volume, path: image.write(as_pictures(volume, black_is_zero=True), path),
        image.declares,
    ),
    Format(
        "JPEG",
        (),
        jpeg.recognises,
        lambda path, metadata: jpeg.read(path),
        declares=jpeg.declares,
        read_suffixes=jpeg.SUFFIXES,
    ),
    Format(
        "TIFF",
        tiff.SUFFIXES,
        tiff.recognises,
        lambda path, metadata: tiff.read(path),
        lambda volume, path: tiff.write(as_pictures(volume), path),
        tiff.declares,
    ),
)
SUFFIXES = tuple(
    suffix for family in _FORMATS for suffix in (*family.suffixes, *family.read_suffixes)
)
# All suffixes of scans, including formats that cannot be read here.
SCAN_SUFFIXES = (
    *SUFFIXES, ".dcm", *nifti_pair.IMAGE_SUFFIXES, parrec.DATA_SUFFIX, ".nii.zst", ".zip",
)  # fmt: skip
WRITTEN_SUFFIXES = tuple(suffix for family in _FORMATS for suffix in family.suffixes)


def format_of_content(path: Path) -> Format:
    """Return the format of an existing file, or of the file of file::name.

    Raises:
        UnsupportedFormatError: the format is unknown or not supported.
        InputError: the file is damaged.
    """
    path, asked = parts.split(path)
    if path.exists() and not path.is_file():
        raise InputError("not an ordinary file. Save the scan to a file first")
    with open(path, "rb") as stream:
        packed = _packed_by(stream.read(HEAD_BYTES))
    head = streams.head(path, HEAD_BYTES)
    refused = others.refusal(head, path.name)
    if refused is not None:
        raise refused
    for family in _FORMATS:
        if family.recognises(head):
            if packed and not family.packed:
                raise UnsupportedFormatError(
                    f"packed with {packed}, which {family.label} files may not be. Unpack it "
                    f"first: {packed} -dk {others.FILE}"
                )
            if asked and not family.arrays:
                raise InputError(
                    f"a {family.label} file holds one scan: leave out {parts.SEPARATOR}"
                    f"{parts.told(asked)}"
                )
            return family
    again = _packed_by(head)
    if again:
        raise UnsupportedFormatError(f"packed twice. Unpack it once: {packed} -dk {others.FILE}")
    name = path.name.lower()
    for family in _FORMATS:
        if name.endswith((*family.suffixes, *family.read_suffixes)):
            raise InputError(
                f"does not begin as a {family.label} file, which its suffix promises. It is "
                "damaged, cut short or of another kind"
            )
    raise UnsupportedFormatError(f"a file of an unknown kind: expected {', '.join(SUFFIXES)}")


def header_beside(path: Path) -> Path:
    """Return the header of a file with voxels alone; return any other path as it is.

    Raises:
        InputError: the file has no header beside it.
    """
    return parrec.header_beside(nifti_pair.header_beside(path))


def _packed_by(head: bytes) -> str:
    """Return the name of the program that packed a file, or an empty string."""
    if head.startswith(streams.GZIP_MAGIC):
        return "gzip"
    return "bzip2" if head.startswith(streams.BZIP2_MAGIC) else ""


def format_of_suffix(path: Path) -> Format:
    """Return the format that a file name asks for.

    Raises:
        UnsupportedFormatError: the suffix is of no known format, or of one that is only read.
    """
    name = path.name.lower()
    for family in _FORMATS:
        if name.endswith(family.suffixes):
            return family
    if name.endswith((*nifti_pair.HEADER_SUFFIXES, *nifti_pair.IMAGE_SUFFIXES)):
        raise UnsupportedFormatError("a header and image pair cannot be written. Use .nii.gz")
    for family in _FORMATS:
        if name.endswith(family.read_suffixes):
            raise UnsupportedFormatError(
                f"{family.label} files of this suffix are read and not written. Use .nii.gz"
            )
    if name.endswith(".dstd"):
        raise UnsupportedFormatError(
            "has the name of a compressed scan, but a scan is to be written. Use .nii.gz"
        )
    raise UnsupportedFormatError(
        f"the suffix names no format: expected one of {', '.join(WRITTEN_SUFFIXES)}"
    )
