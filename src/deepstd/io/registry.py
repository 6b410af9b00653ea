"""One way to read and write a scan, whatever its format.

    read:  path or URL ─ first bytes, unzipped ─▶ format ─▶ Volume
    write: path or URL ─ suffix ─▶ format ─▶ temporary file ─▶ path or URL

The content decides how a file is read, so that a wrong suffix does no harm. Formats say what is
wrong; the file is named here, and whatever a decoding library raises becomes an InputError.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError
from deepstd.io import array, image, itk, meta_header, nifti, nifti_private, nrrd_header, stack
from deepstd.io.atomic import atomic_folder, atomic_path
from deepstd.io.metadata import Metadata
from deepstd.io.places import is_url, location, shown
from deepstd.io.remote import fetched, placed

if TYPE_CHECKING:
    import numpy as np

    from deepstd.volume import SourceHeader, Volume

_HEAD_BYTES = 4096
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
    """

    label: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, Metadata], Volume]
    write: Callable[[Volume, Path], None]


def _read_nifti(path: Path, metadata: Metadata) -> Volume:
    volume = nifti.read(path)
    return nifti_private.without_text(volume) if metadata is Metadata.NONE else volume


_FORMATS = (
    Format("NIfTI", nifti.SUFFIXES, nifti.recognises, _read_nifti, nifti.write),
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
    ),
    Format(
        "image",
        image.SUFFIXES,
        image.recognises,
        lambda path, metadata: stack.read_file(path),
        stack.write_pages,
    ),
)
_SUFFIXES = ", ".join(suffix for family in _FORMATS for suffix in family.suffixes)
_CONVERT = "Convert it to NIfTI first"
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", f"a DICOM file. {_CONVERT}, for example with dcm2niix"),
    (0, b"\xd5STD\r\n\n", "a .dstd file, compressed already. Decompress it instead"),
    (0, b"\xff\xd8\xff", "a JPEG image, which has lost detail already. Use a PNG or TIFF original"),
    (0, b"PK\x03\x04", "a zip archive. Unpack it first"),
)


def read(
    path: str | os.PathLike[str],
    *,
    metadata: Metadata = Metadata.DEIDENTIFIED,
    progress: Callable[[str], None] = lambda message: None,
) -> Volume:
    """Read a scan; its format is told from its content.

    NIfTI voxels are the stored values, before slope and intercept, at axes (i, j, k[, frame]), as
    are those of NRRD and MetaImage; an image's are at (row, column[, slice]).

    Args:
        path: a NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha, .mhd), NumPy (.npy), or grey PNG or
            TIFF file, or a folder of such images; or the URL of a file.
        metadata: which other information of the file its header keeps.
        progress: called with a sentence while a URL is fetched.

    Raises:
        UnsupportedFormatError: another format, data type or layout.
        GeometryError: the orientation in the file is not finite.
        InputError: the file is missing, damaged or cut short.
        MissingExtraError: an optional dependency is needed to read it.
    """
    place = location(path)
    with (
        _naming(shown(place), "read", "It is damaged or cut short: copy or download it again"),
        fetched(place, progress) as local,
    ):
        if local.is_dir():
            return _read_folder(local)
        return _format_of_content(local).read(local, metadata)


def write(volume: Volume, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a scan; its format follows from the suffix, and an interrupted write leaves no file.

    A NIfTI volume written as NIfTI keeps its header and extensions byte for byte. Written as NRRD
    or MetaImage, its slope and intercept are applied.

    Args:
        volume: the scan.
        path: ends in .nii, .nii.gz, .nrrd, .mha, .mhd, .npy, .png, .tif or .tiff; or a folder for
            images of the slices: it ends in "/", is there, or has no suffix where the scan came
            from a stack of images. A URL names a file.
        overwrite: whether an existing output may be replaced.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        UnsupportedFormatError: the suffix is unknown, or the format cannot hold such a scan.
        InputError: the header does not fit the voxels, or the folder cannot be written.
        MissingExtraError: an optional dependency is needed to write it.
    """
    place = location(path)
    name = shown(place)
    if _is_folder(place, volume):
        whole = atomic_folder(place, overwrite=overwrite, ours=stack.is_written)
        with whole as folder, _writing(name):
            stack.write_folder(volume, folder)
        return
    with _writing(name):
        family = _format_of_suffix(Path(name))
    if name.lower().endswith(".mhd"):
        _write_pair(volume, place, overwrite)
        return
    with placed(place, overwrite=overwrite) as temporary, _writing(name):
        family.write(volume, temporary)


def affine_of(source: SourceHeader) -> np.ndarray | None:
    """The affine that `read` gives a scan with this header; None where the format has none.

    Raises:
        InputError: the header is damaged.
        GeometryError: its orientation is not finite.
    """
    if source.format in itk.NAMES:
        return itk.affine_of(source)
    return nifti.affine_of(source) if source.format in nifti.NAMES else None


def check_header(
    source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray | None:
    """The affine that goes with a header that describes such voxels.

    Raises:
        InputError: the header is damaged, or describes others.
    """
    if source.format in nifti.NAMES:
        return nifti.check_header(source, shape, dtype)
    if source.format in itk.NAMES:
        return itk.affine_of(source, len(shape))
    if source.format == "npy":
        array.check_header(source.raw, shape, dtype)
    return None


def with_own_header(volume: Volume) -> Volume:
    """The volume with a header that says all it holds: a NIfTI one for an affine of its own.

    Raises:
        InputError: the header it has describes another scan, or no header can hold its geometry.
    """
    affine = check_header(volume.source, volume.shape, volume.voxels.dtype)
    if volume.affine is None:
        if affine is not None:
            raise InputError("the scan has no affine, its header has one. Give it that affine")
        return volume
    if affine is None:
        return nifti.with_fresh_header(volume)
    nifti.check_affine(volume.affine, affine)
    return volume


def _is_folder(place: str, volume: Volume) -> bool:
    if is_url(place):
        return False
    if place.endswith(("/", os.sep)) or os.path.isdir(place):
        return True
    return volume.source.format in stack.NAMES and not Path(place).suffix


def _read_folder(folder: Path) -> Volume:
    if stack.is_stack(folder):
        return stack.read_folder(folder)
    raise UnsupportedFormatError(
        "a folder. A DICOM series must be converted to NIfTI first, for example with dcm2niix"
    )


def _write_pair(volume: Volume, place: str, overwrite: bool) -> None:
    """A .mhd file and its voxels beside it."""
    if is_url(place):
        raise UnsupportedFormatError(f"{shown(place)}: two files. Write one, with .mha")
    voxels = Path(place).with_suffix(".zraw")
    with (
        atomic_path(place, overwrite=overwrite) as header,
        atomic_path(voxels, overwrite=overwrite) as data,
        _writing(place),
    ):
        itk.write_pair(volume, header, data, voxels.name)


def _writing(name: str) -> AbstractContextManager[None]:
    return _naming(name, "written", "Check the folder and the free space")


@contextmanager
def _naming(path: str, done: str, advice: str) -> Iterator[None]:
    try:
        yield
    except DeepSTDError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise type(error)(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except MemoryError as error:
        raise InputError(f"{path}: cannot be {done}, it is larger than the free memory") from error
    except Exception as error:
        # nibabel, Pillow, NumPy and zlib raise many kinds, and promise none.
        raise InputError(f"{path}: cannot be {done} ({error}). {advice}") from error


def _format_of_content(path: Path) -> Format:
    if path.exists() and not path.is_file():
        raise InputError("not an ordinary file. Save the scan to a file first")
    head = _head(path)
    # First, as a DICOM file may begin like a TIFF.
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
    raise UnsupportedFormatError(f"a file of an unknown kind: expected {_SUFFIXES}")


def _head(path: Path) -> bytes:
    with open(path, "rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head.startswith(nifti.GZIP_MAGIC):
        return head
    try:
        unzipped = zlib.decompressobj(_UNZIP).decompress(head, _HEAD_BYTES)
    except zlib.error as error:
        raise InputError(f"a damaged gzip file ({error}). Copy or download it again") from error
    if array.recognises(unzipped) or image.recognises(unzipped):
        raise UnsupportedFormatError("gzipped, which only NIfTI files may be. Unzip it first")
    return unzipped


def _format_of_suffix(path: Path) -> Format:
    name = path.name.lower()
    for family in _FORMATS:
        if name.endswith(family.suffixes):
            return family
    if name.endswith((".hdr", ".img", ".img.gz")):
        raise UnsupportedFormatError("a header and image pair cannot be written. Use .nii.gz")
    raise UnsupportedFormatError(f"the suffix names no format: expected one of {_SUFFIXES}")
