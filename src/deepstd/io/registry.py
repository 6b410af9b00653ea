"""One way to read and write a scan, whatever its format.

    read:  path or URL ─ first bytes, unzipped ─▶ format ─▶ Volume
           folder, archive, several paths ─▶ DICOM series, or a stack of images ─▶ Volume
    write: path or URL ─ suffix ─▶ format ─▶ temporary file ─▶ path or URL

The content decides how a file is read, so that a wrong suffix does no harm. Formats say what is
wrong; the file is named here, and whatever a decoding library raises becomes an InputError.
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
from deepstd.io import dicom, itk, nifti_pair, others, stack
from deepstd.io.atomic import NoSpaceError, atomic_folder, atomic_path, needing
from deepstd.io.formats import HEAD_BYTES, format_of_content, format_of_suffix
from deepstd.io.limits import with_limits
from deepstd.io.locations import basename, is_url, location, shown
from deepstd.io.metadata import Metadata
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
    metadata: Metadata = Metadata.DEIDENTIFIED,
    progress: Callable[[str], None] = lambda message: None,
) -> Volume:
    """Read a scan; its format is told from its content.

    NIfTI voxels are the stored values, before slope and intercept, at axes (i, j, k[, frame]), as
    are those of NRRD and MetaImage; DICOM's are at (column, row, slice[, moment]); an image's at
    (row, column[, slice]).

    Args:
        source: a NIfTI (.nii, .nii.gz, .nii.bz2, .hdr and .img), FreeSurfer (.mgh, .mgz), NRRD,
            MetaImage (.mha, .mhd), NumPy (.npy), or grey PNG or TIFF file, or a folder of such
            images; a DICOM file, folder or zip archive, or several of them; or the URL of a file.
        series: id of a DICOM series, where the source holds several.
        metadata: which other information of the file its header keeps.
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
        path = nifti_pair.header_beside(local[0])
        return with_limits(format_of_content(path).read(path, metadata), basename(places[0]))


def check_input(path: PathLike) -> None:
    """Raise as `read` would, as far as a local file's name and first bytes tell."""
    place = location(path)
    if is_url(place):
        return
    with _reading(shown(place)), fetched(place, lambda message: None) as local:
        if not _holds_dicom(local) and not local.is_dir():
            format_of_content(local)


def declared(path: PathLike) -> tuple[tuple[int, ...], np.dtype] | None:
    """Shape and stored type that a scan's header declares; None where only reading it tells.

    Raises as `read`, as far as the header goes.
    """
    path = Path(path)
    with _reading(str(path)):
        if _holds_dicom(path):
            return None
        header = nifti_pair.header_beside(path)
        family = format_of_content(header)
        return None if family.declares is None else family.declares(header)


def write(
    volume: Volume,
    path: PathLike,
    *,
    overwrite: bool = False,
    derivation: Derivation | None = None,
) -> None:
    """Write a scan; its format follows from the suffix, and an interrupted write leaves no file.

    A NIfTI volume written as NIfTI keeps its header and extensions byte for byte. Written as NRRD
    or MetaImage, its slope and intercept are applied.

    Args:
        volume: the scan.
        path: ends in .nii, .nii.gz, .nrrd, .mha, .mhd, .npy, .png, .tif or .tiff; or a folder for
            a DICOM series where the scan came from DICOM, else for images of the slices: it ends
            in "/", is there, or has no suffix where the scan came from such a folder. .dcm where
            it came from one DICOM object. A URL names a file.
        overwrite: whether an existing output may be replaced.
        derivation: how the voxels came about; DICOM tells it.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is false.
        UnsupportedFormatError: the suffix is unknown, or the format cannot hold such a scan.
        InputError: the header does not fit the voxels, or the folder cannot be written.
        MissingExtraError: an optional dependency is needed to write it.
    """
    with writer(path, volume.source.format, overwrite=overwrite) as put:
        put(volume, derivation)


class Put(Protocol):
    """What writes a scan to the place that `writer` has taken."""

    def __call__(self, volume: Volume, derivation: Derivation | None = None, /) -> None:
        """Write it; ``derivation`` and errors as of `write`."""
        ...


@contextmanager
def writer(path: PathLike, source: str = "npy", *, overwrite: bool = False) -> Iterator[Put]:
    """Take the place that a scan will have, before there is one: for work that takes its time.

    Yields what writes the scan; it has to be called, and its file appears when the block ends well.

    Args:
        path, overwrite: see `write`.
        source: format that the scan came from.

    Raises:
        As `write`: at once, as far as path and source tell, otherwise when the scan is written.
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
                lambda scan, _: itk.write_pair(_without_padding(scan), header, data, data_name),
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
    """Raise as `write` would of a scan, before there is one, as far as its voxels tell.

    Args:
        path: where it would be written; what is there does not matter.
        axes: of the scan.
        dtype: of its voxels.
        affine: see `Volume`.
        source: format that the scan came from. Of DICOM its data sets decide, so nothing is said.

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
    # By writing a few voxels elsewhere, so that whatever a format refuses is refused here as well.
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder, _writing(name):
        if _is_folder(place, source):
            stack.write_folder(as_stack(few), Path(folder))
        else:
            _writer_of(Path(name))(few, Path(folder, basename(place)), None)


def holds_series(path: PathLike) -> bool:
    """Whether a path is what DICOM series lie in: a folder, a zip archive, a DICOM file."""
    place = location(path)
    return not is_url(place) and _holds_dicom(Path(place))


def _is_folder(place: str, source: str) -> bool:
    if is_url(place):
        return False
    if place.endswith(("/", os.sep)) or os.path.isdir(place):
        return True
    return source in (dicom.NAME, *stack.NAMES) and not Path(place).suffix


def _holds_dicom(path: Path) -> bool:
    """Whether a path is to be read as DICOM: a folder that is no stack of images, or a file."""
    if path.is_dir():
        return not stack.is_stack(path)
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
    refused = others.archive_of_arrays(head)
    if refused is not None:
        raise refused
    return head.startswith(dicom.ZIP_MAGIC) or dicom.begins_as_dicom(head)


def _writer_of(path: Path) -> Callable[[Volume, Path, Derivation | None], None]:
    if path.name.lower().endswith(dicom.SUFFIX):
        return dicom.write_object
    write_file = format_of_suffix(path).write
    return lambda volume, target, _: write_file(_without_padding(volume), target)


def _without_padding(volume: Volume) -> Volume:
    """The scan for formats that declare no padding value: that value in place of NaN."""
    return dicom.with_padding_values(volume) if volume.source.format == dicom.NAME else volume


@contextmanager
def _pair(place: str, overwrite: bool) -> Iterator[tuple[Path, Path, str]]:
    """A .mhd file and its voxels beside it: both files, and what the header calls the second."""
    if is_url(place):
        raise UnsupportedFormatError(f"{shown(place)}: two files. Write one, with .mha")
    voxels = Path(place).with_suffix(".zraw")
    with (
        atomic_path(place, overwrite=overwrite) as header,
        atomic_path(voxels, overwrite=overwrite) as data,
    ):
        yield header, data, voxels.name


def _named(name: str, write_scan: Callable[[Volume, Derivation | None], None]) -> Put:
    """What writes a scan, so that it names the file in errors."""

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
        message = others.filled_in(str(error), path)
        if str(error).startswith(path):
            raise
        raise type(error)(f"{path}: {message}") from error
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: cannot be {done}, as a package of this installation cannot be loaded "
            f"({error}). Install it again: pip install --force-reinstall {_package(error)}"
        ) from error
    except NoSpaceError:
        raise  # whoever made the place names it, and says how much room there was
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be {done}: permission denied") from error
    except MemoryError as error:
        raise InputError(f"{path}: cannot be {done}, it is larger than the free memory") from error
    except Exception as error:
        # nibabel, Pillow, NumPy and zlib raise many kinds, and promise none.
        raise InputError(f"{path}: cannot be {done} ({error}). {advice}") from error


def _package(error: ImportError) -> str:
    """Return the package that could not be loaded, or deepstd where that is not told."""
    return (error.name or "deepstd").partition(".")[0]
