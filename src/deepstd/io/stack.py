"""Stacks of grey PNG or TIFF images: a folder with one file a slice.

    FOLDER/slice_2.png, slice_10.png … ─ natural order ─▶ voxels[row, column, slice], affine None
    Volume ─▶ FOLDER/slice_0001.png …

Sizes, types and the memory they need are checked before any pixel is decoded.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError
from deepstd.io import image, tiff
from deepstd.io.picture_header import NAMES as PICTURES
from deepstd.io.picture_header import Kept, pack
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PNG, TIFF = "png-stack", "tiff-stack"
NAMES = (PNG, TIFF)
_SUFFIXES = {PNG: ".png", TIFF: ".tif"}
_OF_IMAGES = (*image.SUFFIXES, *tiff.SUFFIXES)
_WRITTEN = re.compile(r"slice_[0-9]{4,}\.(png|tif)")
_DIGITS = re.compile(r"([0-9]+)")
# Bytes of pixels per byte of a file: more than deflate and LZW reach on a black image.
_MAX_RATIO = 2000


class _Page(NamedTuple):
    """Facts in the header of one slice."""

    format: str
    rows: int
    columns: int
    dtype: np.dtype
    kept: Kept

    def __str__(self) -> str:
        white = ", white is zero" if self.kept.white else ""
        return f"{self.format} of {self.rows} x {self.columns}, {self.dtype.name}{white}"


def is_stack(folder: Path) -> bool:
    """Return whether a folder holds a PNG or TIFF image."""
    return any(_is_image(entry) for entry in folder.iterdir())


def read_folder(folder: Path) -> Volume:
    """Read a folder of images of equal size and type, in natural order of their names.

    Files with names that begin with a dot are passed over.

    Raises:
        UnsupportedFormatError: not one grey value a pixel, or several images in a file.
        InputError: the folder holds something else, images differ, or one is damaged.
    """
    paths = sorted(
        (entry for entry in folder.iterdir() if not entry.name.startswith(".")),
        key=lambda entry: _natural(entry.name),
    )
    for path in paths:
        if not _is_image(path):
            raise InputError(
                f"a folder of images that holds something else, {path.name}. Move it elsewhere"
            )
    pages = [_page_of(path) for path in paths]
    _check_alike(pages, [path.name for path in paths])
    voxels = _empty(pages, sum(path.stat().st_size for path in paths))
    notes: list[str] = []
    for number, path in enumerate(paths):
        with _naming(path):
            slice_ = _reader_of(path)(path)
        voxels[..., number] = slice_.voxels
        notes += [note for note in slice_.notes if note not in notes]
    # Header values that differ between slices are not kept.
    same = all(page.kept == pages[0].kept for page in pages)
    kept = pages[0].kept if same else Kept(white=pages[0].kept.white)
    source = SourceHeader(PNG if pages[0].format == "PNG" else TIFF, pack(kept))
    return Volume(voxels, None, source, tuple(notes))


def write_folder(volume: Volume, folder: Path) -> None:
    """Write slices as slice_0001.png and so on, or as .tif where they came from TIFF.

    Raises:
        UnsupportedFormatError: the scan does not have three axes, or has a type that images cannot
            have.
    """
    if volume.voxels.ndim != 3:
        raise UnsupportedFormatError(
            f"a scan of {volume.voxels.ndim} axes cannot be a folder of images: expected 3. Write "
            "it as .nii.gz"
        )
    suffix = _SUFFIXES.get(volume.source.format, ".png")
    write = image.write if suffix == ".png" else tiff.write
    source = SourceHeader("npy")
    if volume.source.format in PICTURES:
        source = replace(volume.source, format="tiff" if suffix == ".tif" else "png")
    digits = max(4, len(str(volume.shape[2])))
    for number in range(volume.shape[2]):
        page = Volume(volume.voxels[..., number], None, source)
        write(page, folder / f"slice_{number + 1:0{digits}d}{suffix}")


def is_written(name: str) -> bool:
    """Return whether `write_folder` gives a file such a name."""
    return _WRITTEN.fullmatch(name) is not None


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.suffix.lower() in _OF_IMAGES and path.is_file()


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts slice_2 before slice_10."""
    parts = _DIGITS.split(name.lower())
    return [
        (int(part) if n % 2 else 0, "" if n % 2 else part) for n, part in enumerate(parts)
    ], name


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the slice in errors; the caller names the folder."""
    try:
        yield
    except DeepSTDError as error:
        raise type(error)(f"{path.name}: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path.name} is damaged or cut short ({error})") from error


def _reader_of(path: Path) -> Callable[[Path], Volume]:
    with open(path, "rb") as stream:
        is_tiff = tiff.recognises(stream.read(4))
    return tiff.read if is_tiff else image.read


def _page_of(path: Path) -> _Page:
    with _naming(path):
        if _reader_of(path) is image.read:
            with image.opened(path) as opened:
                kept = image.checked(opened, path)
                return _Page("PNG", opened.height, opened.width, image.stored_type(opened), kept)
        shape, dtype, kept = tiff.described(path)
        if len(shape) != 2:
            raise UnsupportedFormatError("several images in a file of a stack are not supported")
        return _Page("TIFF", *shape, dtype, kept)


def _check_alike(pages: Sequence[_Page], names: Sequence[str]) -> None:
    for page, name in zip(pages, names, strict=True):
        if str(page) != str(pages[0]):
            raise InputError(
                f"{name} is {page}, but {names[0]} {pages[0]}: the slices of a scan must be alike"
            )


def _empty(pages: Sequence[_Page], nbytes: int) -> np.ndarray:
    first = pages[0]
    shape = (first.rows, first.columns, len(pages))
    wanted = first.rows * first.columns * len(pages) * first.dtype.itemsize
    if wanted > nbytes * _MAX_RATIO:
        raise InputError(
            f"{shape} pixels, {wanted} bytes, cannot come of {nbytes} bytes. The files are damaged"
        )
    return np.empty(shape, first.dtype, order="F")
