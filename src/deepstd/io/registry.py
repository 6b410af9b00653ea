"""One way to read and write a scan, whatever its format.

    read:  path ─ first bytes, unzipped ─▶ format ─▶ Volume
           folder, archive, several paths ─▶ DICOM ─▶ Volume
    write: path ─ suffix ─▶ format ─▶ temporary file ─▶ path

The content decides how a file is read, so that a wrong suffix does no harm. Formats say what is
wrong; the file is named here, and whatever a decoding library raises becomes an InputError.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError
from deepstd.io import array, dicom, image, nifti
from deepstd.io.atomic import atomic_folder, atomic_path
from deepstd.io.metadata import Metadata

if TYPE_CHECKING:
    import numpy as np

    from deepstd.volume import Derivation, SourceHeader, Volume

PathLike = str | os.PathLike[str]
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
    """

    label: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path], Volume]
    write: Callable[[Volume, Path], None]


_FORMATS = (
    Format("NIfTI", nifti.SUFFIXES, nifti.recognises, nifti.read, nifti.write),
    Format("NumPy", array.SUFFIXES, array.recognises, array.read, array.write),
    Format("image", image.SUFFIXES, image.recognises, image.read, image.write),
)
_SUFFIXES = ", ".join(suffix for family in _FORMATS for suffix in family.suffixes)
_CONVERT = "Convert it to NIfTI first"
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"NRRD", f"an NRRD file. {_CONVERT}, for example with SimpleITK"),
    (0, b"ObjectType", f"a MetaImage file. {_CONVERT}, for example with SimpleITK"),
    (0, b"\xd5STD\r\n\n", "a .dstd file, compressed already. Decompress it instead"),
    (0, b"\xff\xd8\xff", "a JPEG image, which has lost detail already. Use a PNG or TIFF original"),
)


def read(
    source: PathLike | Sequence[PathLike],
    *,
    series: str | None = None,
    metadata: Metadata = Metadata.DEIDENTIFIED,
) -> Volume:
    """Read a scan; its format is told from its content.

    NIfTI voxels are the stored values, before slope and intercept, at axes (i, j, k[, frame]); so
    are DICOM's, at (column, row, slice[, moment]); an image's are at (row, column).

    Args:
        source: a NIfTI (.nii, .nii.gz), NumPy (.npy), or grey PNG or TIFF file; or for DICOM a
            file, a folder or a zip archive, or several of them.
        series: id of a DICOM series, where there are several.
        metadata: what is kept of DICOM data sets besides geometry and grey scale.

    Raises:
        UnsupportedFormatError: another format, data type or layout.
        GeometryError: the orientation in the file is not finite.
        InputError: the file is missing, damaged or cut short, or holds several series.
        MissingExtraError: a package that reads the format is not installed.
    """
    paths = [Path(p) for p in ([source] if isinstance(source, str | os.PathLike) else source)]
    if not paths:
        raise InputError("no scan is given")
    with _naming(paths[0], "read", "It is damaged or cut short: copy or download it again"):
        if len(paths) > 1 or paths[0].is_dir() or _is_dicom(paths[0]):
            return dicom.read(paths, series, metadata)
        if series is not None:
            raise InputError(f"only DICOM has series: leave out series {series}")
        return _format_of_content(paths[0]).read(paths[0])


def write(
    volume: Volume,
    path: PathLike,
    *,
    overwrite: bool = False,
    derivation: Derivation | None = None,
) -> None:
    """Write a scan; its format follows from the suffix, and an interrupted write leaves nothing.

    A NIfTI volume written as NIfTI keeps its header and extensions byte for byte. A DICOM series
    goes into a folder.

    Args:
        volume: the scan.
        path: ends in .nii, .nii.gz, .npy, .png, .tif or .tiff; for a scan from DICOM also a
            folder, or .dcm where it was one object.
        overwrite: whether an existing file may be replaced.
        derivation: how the voxels came about; DICOM tells it.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        UnsupportedFormatError: the suffix is unknown, or the format cannot hold such a scan.
        InputError: the header does not fit the voxels, or the folder cannot be written.
    """
    name, path = os.fspath(path), Path(path)
    advice = "Check the folder and the free space"
    if _names_folder(name, volume):
        with (
            atomic_folder(path, overwrite=overwrite) as folder,
            _naming(path, "written", advice),
        ):
            dicom.write_series(volume, folder, derivation)
        return
    with _naming(path, "written", advice):
        writer = _writer_of(path, derivation)
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        _naming(path, "written", advice),
    ):
        writer(volume, temporary)


def holds_series(path: PathLike) -> bool:
    """Whether a path is what DICOM series lie in: a folder, a zip archive, a DICOM file."""
    path = Path(path)
    return path.is_dir() or (path.is_file() and _is_dicom(path))


def affine_of(source: SourceHeader) -> np.ndarray | None:
    """The affine that `read` gives a scan with this header; None where the format has none.

    Raises:
        InputError: the header is damaged.
        GeometryError: its orientation is not finite.
    """
    if source.format == dicom.NAME:
        return dicom.facts_of(source.raw).matrix
    return nifti.affine_of(source) if source.format in nifti.NAMES else None


def check_header(
    source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray | None:
    """The affine that goes with a header that describes such voxels.

    Raises:
        InputError: the header is damaged, or describes others.
    """
    if source.format == dicom.NAME:
        return dicom.check(source.raw, shape)
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
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except MemoryError as error:
        raise InputError(f"{path}: cannot be {done}, it is larger than the free memory") from error
    except Exception as error:
        # nibabel, Pillow, NumPy and zlib raise many kinds, and promise none.
        raise InputError(f"{path}: cannot be {done} ({error}). {advice}") from error


def _is_dicom(path: Path) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(_HEAD_BYTES)
    return head.startswith(dicom.ZIP_MAGIC) or dicom.begins_as_dicom(head)


def _names_folder(name: str, volume: Volume) -> bool:
    """Whether an output is a folder: it is one, is written as one, or cannot be anything else."""
    path = Path(name)
    if path.is_dir() or name.endswith(("/", os.sep)):
        return True
    return volume.source.format == dicom.NAME and not path.suffix


def _writer_of(path: Path, derivation: Derivation | None) -> Callable[[Volume, Path], None]:
    if path.name.lower().endswith(dicom.SUFFIX):
        return lambda volume, target: dicom.write_object(volume, target, derivation)
    return _format_of_suffix(path).write


def _format_of_content(path: Path) -> Format:
    head = _head(path)
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
