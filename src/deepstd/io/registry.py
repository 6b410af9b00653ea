"""Reading and writing of scans, whatever their format.

    read:  path or URL ─ first bytes, unzipped ─▶ format ─▶ Volume
           folder, archive, several paths ─▶ DICOM series, or a stack of images ─▶ Volume
    write: path or URL ─ suffix ─▶ format ─▶ temporary file ─▶ path or URL

The content decides how a file is read, so a wrong suffix does no harm. Errors of the formats get
the name of the file here. All errors of a decoding library become an InputError.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from deepstd.errors import DeepSTDError, InputError, MissingExtraError, UnsupportedFormatError
from deepstd.io import archive, dicom, itk, others, parts, stack
from deepstd.io.atomic import NoSpaceError, atomic_folder, atomic_path, needing
from deepstd.io.formats import (
    HEAD_BYTES,
    format_of_content,
    format_of_suffix,
    header_beside,
)
from deepstd.io.limits import with_limits
from deepstd.io.locations import basename, is_url, location, shown
from deepstd.io.metadata import KeptMetadata, Metadata
from deepstd.io.remote import fetched, placed
from deepstd.io.world import as_stack
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from deepstd.volume import Derivation

PathLike = str | os.PathLike[str]


def read(
    source: PathLike | Sequence[PathLike],
    *,
    series: str | None = None,
    metadata: KeptMetadata = Metadata.DEIDENTIFIED,
    progress: Callable[[str], None] = lambda message: None,
) -> Volume:
    """Read a scan; its content decides the format.

    NIfTI, NRRD and MetaImage give stored values, before slope and intercept, at axes (i, j, k[,
    frame]). DICOM gives (column, row, slice[, time point]), and images give (row, column[, slice]).

    Args:
        source: a NIfTI (.nii, .nii.gz, .nii.bz2, .hdr and .img), FreeSurfer (.mgh, .mgz), NRRD,
            MetaImage (.mha, .mhd), NumPy (.npy, .npz), HDF5 (.h5), MINC (.mnc), PAR/REC (.par), or
            grey PNG, TIFF or JPEG file; file::name for an array of .npz or HDF5; a folder of PNG or
            TIFF images; a DICOM file, folder or zip archive, or several of them; or the URL of a
            file.
        series: id of a DICOM series, where the source holds several.
        metadata: amount of further metadata that the volume's header keeps.
        progress: called with a sentence while a URL is fetched.

    Raises:
        UnsupportedFormatError: another format, data type or layout.
        GeometryError: the orientation in the file is not finite.
        InputError: the file is missing, damaged or cut short, or holds several series.
        MissingExtraError: an optional dependency is needed to read it.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    places = [location(one) for one in sources]
    if not places:
        raise InputError("no scan is given")
    with _reading(shown(places[0])), ExitStack() as fetching:
        local = [fetching.enter_context(fetched(place, progress)) for place in places]
        if len(local) > 1 or _holds_dicom(local[0]):
            return with_limits(dicom.read(local, series, metadata), basename(places[0]))
        if series is not None:
            raise InputError(f"only DICOM has series: leave out series {series}")
        if local[0].is_dir():
            return with_limits(stack.read_folder(local[0]), basename(places[0]))
        path = header_beside(local[0])
        return with_limits(format_of_content(path).read(path, metadata), basename(places[0]))


def check_input(path: PathLike) -> None:
    """Raise the errors of `read` that a local file's name and first bytes reveal.

    URLs are not checked.
    """
    place = location(path)
    if is_url(place):
        return
    with _reading(shown(place)), fetched(place, lambda message: None) as local:
        if not _holds_dicom(local) and not local.is_dir():
            format_of_content(local)


def declared(path: PathLike) -> tuple[tuple[int, ...], np.dtype] | None:
    """Return the shape and stored type that a scan's header declares.

    None means that only reading the scan tells them.

    Raises:
        UnsupportedFormatError: another format, data type or layout.
        InputError: the file is missing, or its header is damaged.
    """
    path = Path(path)
    with _reading(str(path)):
        if _holds_dicom(path):
            return None
        header = header_beside(path)
        family = format_of_content(header)
        return None if family.declares is None else family.declares(header)


def write(
    volume: Volume,
    path: PathLike,
    *,
    overwrite: bool = False,
    derivation: Derivation | None = None,
) -> None:
    """Write a scan in the format of the suffix; an interrupted write leaves no file.

    A NIfTI volume written as NIfTI keeps its header and extensions byte for byte. Written as NRRD
    or MetaImage, its slope and intercept are applied.

    Args:
        volume: the scan.
        path: ends in .nii, .nii.gz, .nrrd, .mha, .mhd, .npy, .png, .tif or .tiff; .dcm for a scan
            from one DICOM object. A URL names a file. A folder is written where the path ends in
            "/" or is one, or has no suffix and the scan came from a folder. It gets a DICOM series
            if the scan came from DICOM, else images of the slices.
        overwrite: whether an existing output may be replaced.
        derivation: processing of the voxels, which DICOM files record.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        UnsupportedFormatError: the suffix is unknown, or the format cannot hold such a scan.
        InputError: the header does not fit the voxels, or the folder cannot be written.
        MissingExtraError: an optional dependency is needed to write it.
    """
    with writer(path, volume.source.format, overwrite=overwrite) as put:
        put(volume, derivation)


class Put(Protocol):
    """Function that writes a scan to an output opened by `writer`."""

    def __call__(self, volume: Volume, derivation: Derivation | None = None, /) -> None:
        """Write the scan; ``derivation`` is the processing that DICOM files record."""
        ...


@contextmanager
def writer(path: PathLike, source: str = "npy", *, overwrite: bool = False) -> Iterator[Put]:
    """Open the output of a scan and yield the function that writes the scan there.

    Long work can so find out first that its output can be written. The function has to be called in
    the block. The file appears when the block ends well.

    Args:
        path: file, URL or folder that the scan is written to.
        source: format that the scan came from.
        overwrite: whether an existing output may be replaced.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        UnsupportedFormatError: the suffix is unknown, or on writing, the format cannot hold the
            scan.
        InputError: the folder cannot be written, or on writing, the header does not fit the voxels.
        MissingExtraError: an optional dependency is needed to write it.
    """
    place = location(path)
    name = shown(place)
    if _is_folder(place, source):
        from_dicom = source == dicom.NAME
        ours = dicom.is_written if from_dicom else stack.is_written
        with atomic_folder(place, overwrite=overwrite, ours=ours) as folder:
            if from_dicom:
                yield _named(name, lambda scan, told: dicom.write_series(scan, folder, told))
            else:
                yield _named(name, lambda scan, _: stack.write_folder(as_stack(scan), folder))
        return
    with _writing(name):
        write_file = _writer_of(Path(name))
    if name.lower().endswith(".mhd"):
        with _pair(place, overwrite) as (header, data, data_name):
            yield _named(
                name,
                lambda scan, _: itk.write_pair(without_padding(scan), header, data, data_name),
            )
        return
    with placed(place, overwrite=overwrite) as temporary:
        yield _named(name, lambda scan, told: write_file(scan, temporary, told))


def check_output(
    path: PathLike,
    axes: int,
    dtype: np.dtype,
    affine: np.ndarray | None,
    *,
    source: str = "npy",
) -> None:
    """Raise the errors of `write` that type, axes and affine of a scan reveal.

    Args:
        path: output of the scan; an existing file does not matter.
        axes: number of axes.
        dtype: type of the voxels.
        affine: voxel-to-world matrix (4x4, RAS+ mm), or None.
        source: format that the scan came from. Scans from DICOM are not checked: their data sets
            decide.

    Raises:
        UnsupportedFormatError: the suffix is unknown, or the format cannot hold such a scan.
        GeometryError: the format cannot hold such an affine.
        MissingExtraError: an optional dependency is needed to write it.
    """
    place = location(path)
    name = shown(place)
    if source == dicom.NAME:
        return
    few = Volume(np.zeros((2,) * axes, dtype), affine)  # pictures drop axes of length one
    if name.lower().endswith(dicom.SUFFIX):
        few = replace(few, source=SourceHeader(source))
    # A few voxels are written elsewhere, so that every error of the format is raised here, too.
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder, _writing(name):
        if _is_folder(place, source):
            stack.write_folder(as_stack(few), Path(folder))
        else:
            _writer_of(Path(name))(few, Path(folder, basename(place)), None)


def holds_series(path: PathLike) -> bool:
    """Return whether a path may hold DICOM series: a folder, a zip archive or a DICOM file."""
    place = location(path)
    return not is_url(place) and _holds_dicom(Path(place))


def _is_folder(place: str, source: str) -> bool:
    if is_url(place):
        return False
    if place.endswith(("/", os.sep)) or os.path.isdir(place):
        return True
    return source in (dicom.NAME, *stack.NAMES) and not Path(place).suffix


def _holds_dicom(path: Path) -> bool:
    """Return whether a path is read as DICOM: a folder that is no stack of images, or a file."""
    if path.is_dir():
        return not stack.is_stack(path)
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
    if archive.recognises(head):
        return False
    return head.startswith(dicom.ZIP_MAGIC) or dicom.begins_as_dicom(head)


def _writer_of(path: Path) -> Callable[[Volume, Path, Derivation | None], None]:
    if path.name.lower().endswith(dicom.SUFFIX):
        return dicom.write_object
    write_file = format_of_suffix(path).write
    return lambda volume, target, _: write_file(without_padding(volume), target)


def without_padding(volume: Volume) -> Volume:
    """Return the scan for formats without a padding value: NaN becomes that value."""
    return dicom.with_padding_values(volume) if volume.source.format == dicom.NAME else volume


@contextmanager
def _pair(place: str, overwrite: bool) -> Iterator[tuple[Path, Path, str]]:
    """Yield temporary files of a .mhd header and its voxels, and the name of the voxel file."""
    if is_url(place):
        raise UnsupportedFormatError(f"{shown(place)}: two files. Write one, with .mha")
    voxels = Path(place).with_suffix(".zraw")
    with (
        atomic_path(place, overwrite=overwrite) as header,
        atomic_path(voxels, overwrite=overwrite) as data,
    ):
        yield header, data, voxels.name


def _named(name: str, write_scan: Callable[[Volume, Derivation | None], None]) -> Put:
    """Return a function that writes a scan and names the file in errors."""

    def put(volume: Volume, derivation: Derivation | None = None, /) -> None:
        with _writing(name), needing(volume.voxels.nbytes + len(volume.source.raw)):
            write_scan(volume, derivation)

    return put


def _reading(name: str) -> AbstractContextManager[None]:
    return _naming(name, "read", "It is damaged or cut short: copy or download it again")


def _writing(name: str) -> AbstractContextManager[None]:
    return _naming(name, "written", "Check the folder and the free space")


@contextmanager
def _naming(path: str, done: str, advice: str) -> Iterator[None]:
    try:
        yield
    except DeepSTDError as error:
        file = path if is_url(path) else str(parts.split(Path(path))[0])
        message = others.filled_in(str(error), file)
        if str(error).startswith(path):
            raise
        raise type(error)(f"{path}: {message}") from error
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: cannot be {done}, as a package of this installation cannot be loaded "
            f"({error}). Install it again: pip install --force-reinstall {_package(error)}"
        ) from error
    except NoSpaceError:
        raise  # the owner of the output names it and reports the free space
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be {done}: permission denied") from error
    except MemoryError as error:
        raise InputError(f"{path}: cannot be {done}, it is larger than the free memory") from error
    except Exception as error:
        # nibabel, Pillow, NumPy and zlib raise many kinds of errors and document none.
        raise InputError(f"{path}: cannot be {done} ({error}). {advice}") from error


def _package(error: ImportError) -> str:
    """Return the name of the package that could not be loaded, or deepstd where it is unknown."""
    return (error.name or "deepstd").partition(".")[0]
