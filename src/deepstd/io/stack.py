"""Stacks of grey PNG or TIFF images: a folder with one file a slice, or a TIFF of many pages.

    FOLDER/slice_2.png, slice_10.png … ─ natural order ─▶ voxels[row, column, slice], affine None
    pages.tif ─ in order ─────────────────────▶           "
    Volume ─▶ FOLDER/slice_0001.png …  or  pages.tif

Sizes and types are compared, and the memory they ask for, before any pixel is decoded.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError
from deepstd.io import image as images
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from PIL.Image import Image

PNG, TIFF = "png-stack", "tiff-stack"
NAMES = (PNG, TIFF)
_SUFFIXES = {PNG: ".png", TIFF: ".tif"}
_WRITTEN = re.compile(r"slice_[0-9]{4,}\.(png|tif)")
_DIGITS = re.compile(r"([0-9]+)")
# More than deflate and LZW reach on a black image.
_MAX_RATIO = 2000


class _Page(NamedTuple):
    """What the header of one slice says."""

    format: str
    rows: int
    columns: int
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.format} of {self.rows} x {self.columns}, {self.dtype.name}"


def is_stack(folder: Path) -> bool:
    """Whether a folder holds a PNG or TIFF image."""
    return any(_is_image(entry) for entry in folder.iterdir())


def read_file(path: Path) -> Volume:
    """Read a PNG or TIFF file: an image, or a stack where it has several pages.

    Raises:
        UnsupportedFormatError: not one grey value of 8 or 16 bits a pixel.
        InputError: pages differ in size or type, or the file is damaged.
    """
    with images.opened(path) as image:
        count = images.frames(image)
        if image.format != "TIFF" or count == 1:
            return images.read(path)
        pages = []
        for number in range(count):
            image.seek(number)
            pages.append(_page(image, path))
        _check_alike(pages, [f"page {number + 1}" for number in range(count)])
        voxels = _empty(pages, path.stat().st_size)
        for number in range(count):
            image.seek(number)
            voxels[..., number] = images.pixels(image)
    return Volume(voxels, None, SourceHeader(TIFF))


def read_folder(folder: Path) -> Volume:
    """Read a folder of images of equal size and type, in natural order of their names.

    Files whose name begins with a dot are passed over.

    Raises:
        UnsupportedFormatError: not one grey value of 8 or 16 bits a pixel.
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
    for number, path in enumerate(paths):
        with images.opened(path) as image, _naming(path):
            voxels[..., number] = images.pixels(image)
    return Volume(voxels, None, SourceHeader(PNG if pages[0].format == "PNG" else TIFF))


def write_pages(volume: Volume, path: Path) -> None:
    """Write an image, or with three axes a TIFF of one page a slice.

    Raises:
        UnsupportedFormatError: another type or number of axes.
    """
    from PIL import Image

    if volume.voxels.ndim != 3 or path.suffix.lower() == ".png":
        images.write(volume, path)
        return
    _check_type(volume)
    first, *rest = (Image.fromarray(_slice(volume, n)) for n in range(volume.shape[2]))
    first.save(path, format="TIFF", save_all=True, append_images=rest)


def write_folder(volume: Volume, folder: Path) -> None:
    """Write slices as slice_0001.png and so on, or as .tif where they came from TIFF.

    Raises:
        UnsupportedFormatError: other than three axes of uint8 or uint16.
    """
    if volume.voxels.ndim != 3:
        raise UnsupportedFormatError(
            f"a scan of {volume.voxels.ndim} axes cannot be a folder of images: expected 3. Write "
            "it as .nii.gz"
        )
    _check_type(volume)
    suffix = _SUFFIXES.get(volume.source.format, ".png")
    digits = max(4, len(str(volume.shape[2])))
    for number in range(volume.shape[2]):
        page = Volume(_slice(volume, number))
        images.write(page, folder / f"slice_{number + 1:0{digits}d}{suffix}")


def is_written(name: str) -> bool:
    """Whether `write_folder` gives a file such a name."""
    return _WRITTEN.fullmatch(name) is not None


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.suffix.lower() in images.SUFFIXES and path.is_file()


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts slice_2 before slice_10."""
    parts = _DIGITS.split(name.lower())
    return [
        (int(part) if n % 2 else 0, "" if n % 2 else part) for n, part in enumerate(parts)
    ], name


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the slice; the folder is named by who asked for it."""
    try:
        yield
    except DeepSTDError as error:
        raise type(error)(f"{path.name}: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path.name} is damaged or cut short ({error})") from error


def _page_of(path: Path) -> _Page:
    with _naming(path), images.opened(path) as image:
        if images.frames(image) != 1:
            raise UnsupportedFormatError("several pages in a file of a stack are not supported")
        return _page(image, path)


def _page(image: Image, path: Path) -> _Page:
    images.check_grey(image, path)
    columns, rows = image.size
    return _Page(image.format or "", rows, columns, images.stored_type(image, path))


def _check_alike(pages: Sequence[_Page], names: Sequence[str]) -> None:
    for page, name in zip(pages, names, strict=True):
        if page != pages[0]:
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


def _check_type(volume: Volume) -> None:
    if volume.voxels.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UnsupportedFormatError(
            f"a scan of type {volume.voxels.dtype} cannot be images: expected uint8 or uint16. "
            "Write it as .nii.gz or .npy"
        )


def _slice(volume: Volume, number: int) -> np.ndarray:
    dtype = volume.voxels.dtype.newbyteorder("=")
    return np.ascontiguousarray(volume.voxels[..., number], dtype=dtype)
