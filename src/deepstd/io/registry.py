"""One way to read and write a scan, whatever its format.

    read:  path ─ first bytes, unzipped ─▶ format ─▶ Volume
    write: path ─ suffix ─▶ format ─▶ temporary file ─▶ path

The content decides how a file is read, so that a wrong suffix does no harm. Formats say what is
wrong; the file is named here, and whatever a decoding library raises becomes an InputError.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError
from deepstd.io import array, image, nifti
from deepstd.io.atomic import atomic_path

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
        read: path to volume.
        write: volume to a path with one of the suffixes.
        declares: path to shape and type, without reading the voxels.
    """

    label: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path], Volume]
    write: Callable[[Volume, Path], None]
    declares: Callable[[Path], tuple[tuple[int, ...], np.dtype]] | None = None


_FORMATS = (
    Format("NIfTI", nifti.SUFFIXES, nifti.recognises, nifti.read, nifti.write, nifti.declares),
    Format("NumPy", array.SUFFIXES, array.recognises, array.read, array.write, array.declares),
    Format("image", image.SUFFIXES, image.recognises, image.read, image.write, image.declares),
)
SUFFIXES = tuple(suffix for family in _FORMATS for suffix in family.suffixes)
_CONVERT = "Convert it to NIfTI first"
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", f"a DICOM file. {_CONVERT}, for example with dcm2niix"),
    (0, b"NRRD", f"an NRRD file. {_CONVERT}, for example with SimpleITK"),
    (0, b"ObjectType", f"a MetaImage file. {_CONVERT}, for example with SimpleITK"),
    (0, b"\xd5STD\r\n\n", "a .dstd file, compressed already. Decompress it instead"),
    (0, b"\xff\xd8\xff", "a JPEG image, which has lost detail already. Use a PNG or TIFF original"),
    (0, b"PK\x03\x04", "a zip archive. Unpack it first"),
)


def read(path: str | os.PathLike[str]) -> Volume:
    """Read a scan; its format is told from its content.

    NIfTI voxels are the stored values, before slope and intercept, at axes (i, j, k[, frame]);
    an image's are at (row, column).

    Args:
        path: a NIfTI (.nii, .nii.gz), NumPy (.npy), or grey PNG or TIFF file.

    Raises:
        UnsupportedFormatError: another format, data type or layout.
        GeometryError: the orientation in the file is not finite.
        InputError: the file is missing, damaged or cut short.
    """
    path = Path(path)
    with _naming(path, "read", "It is damaged or cut short: copy or download it again"):
        return _format_of_content(path).read(path)


def declared(path: str | os.PathLike[str]) -> tuple[tuple[int, ...], np.dtype] | None:
    """Shape and stored type that a scan's header declares; None where only reading it tells.

    Raises as `read`, as far as the header goes.
    """
    path = Path(path)
    with _naming(path, "read", "It is damaged or cut short: copy or download it again"):
        family = _format_of_content(path)
        return None if family.declares is None else family.declares(path)


def write(volume: Volume, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a scan; its format follows from the suffix, and an interrupted write leaves no file.

    A NIfTI volume written as NIfTI keeps its header and extensions byte for byte.

    Args:
        volume: the scan.
        path: ends in .nii, .nii.gz, .npy, .png, .tif or .tiff.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        UnsupportedFormatError: the suffix is unknown, or the format cannot hold such a scan.
        InputError: the header does not fit the voxels, or the folder cannot be written.
    """
    path = Path(path)
    with _naming(path, "written", "Check the folder and the free space"):
        family = _format_of_suffix(path)
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        _naming(path, "written", "Check the folder and the free space"),
    ):
        family.write(volume, temporary)


def affine_of(source: SourceHeader) -> np.ndarray | None:
    """The affine that `read` gives a scan with this header; None where the format has none.

    Raises:
        InputError: the header is damaged.
        GeometryError: its orientation is not finite.
    """
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


@contextmanager
def _naming(path: Path, done: str, advice: str) -> Iterator[None]:
    try:
        yield
    except DeepSTDError as error:
        raise type(error)(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except MemoryError as error:
        raise InputError(f"{path}: cannot be {done}, it is larger than the free memory") from error
    except Exception as error:
        # nibabel, Pillow, NumPy and zlib raise many kinds, and promise none.
        raise InputError(f"{path}: cannot be {done} ({error}). {advice}") from error


def _format_of_content(path: Path) -> Format:
    if path.is_dir():
        raise UnsupportedFormatError(
            "a folder. A DICOM series must be converted to NIfTI first, for example with dcm2niix"
        )
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
    raise UnsupportedFormatError(f"a file of an unknown kind: expected {', '.join(SUFFIXES)}")


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
    raise UnsupportedFormatError(
        f"the suffix names no format: expected one of {', '.join(SUFFIXES)}"
    )
