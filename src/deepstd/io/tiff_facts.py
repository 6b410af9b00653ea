"""Checked facts of a TIFF file: number, size and type of its images.

    tifffile.TiffFile ─ directories ─ descriptions ─▶ Facts, or a refusal

The number of slices that tifffile finds is compared with another count of directories and
descriptions (`tiff_count`). It is also compared with the bytes of the file that no directory
describes. Both reveal a program that lost slices, or a file that was cut short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import tiff_count
from deepstd.io.others import FILE
from deepstd.io.picture_header import Kept
from deepstd.io.tiff_sizes import kept_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE = 0, 1, 3
_ORIENTATION = 274
# Bytes: programs leave a little room between directories.
_ROOM_FOR_TAGS = 256
_WHOLE_BITS = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
_SAVE = f"python -c \"import tifffile; a = tifffile.imread('{FILE}'); tifffile.imwrite('scan.tif', "
_SAVE_ANEW = f'{_SAVE}a)"'
# A command that reads by directories and ignores descriptions.
SAVE_DIRECTORIES = (
    'If nothing is missing, save what its directories hold: python -c "import tifffile; '
    f"tifffile.imwrite('scan.tif', tifffile.imread('{FILE}', key=slice(None)))\""
)
_SAVE_CHANNEL = f'{_SAVE}a[..., 0])" (the first; the channels may be another axis of a)'


@dataclass(frozen=True)
class Facts:
    """Facts of a file with one grey scan.

    Attributes:
        series: tifffile's series of its images.
        page: first image.
        shape: (rows, columns[, slices[, frames]]).
        dtype: type of a sample, native byte order.
        frames_first: whether frames are the outer axis of the file, not slices.
        kept: kept parts of the header.
        notes: sentences for users.
    """

    series: Any
    page: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    frames_first: bool
    kept: Kept
    notes: tuple[str, ...]

    @property
    def planes(self) -> int:
        """Number of images."""
        return math.prod(self.shape[2:])

    def arranged(self, planes: np.ndarray) -> np.ndarray:
        """Return images (planes, rows, columns) in the order of `shape`."""
        rows, columns, *rest = self.shape
        if len(rest) == 2:
            outer = rest[::-1] if self.frames_first else rest
            planes = planes.reshape(*outer, rows, columns)
            return planes.transpose((2, 3, 1, 0) if self.frames_first else (2, 3, 0, 1))
        return np.moveaxis(planes, 0, -1).reshape(self.shape)


def of(file: Any, path: Path) -> Facts:
    """Read and check all directories of an opened `tifffile.TiffFile`.

    Raises:
        UnsupportedFormatError: not one grey value a pixel, or not 2 to 4 axes.
        InputError: images differ, or their number contradicts the file's descriptions or size.
    """
    pages = list(file.pages)  # whole directories, before tifffile takes pages of a series as alike
    images = [page for page in pages if not page.is_reduced and not page.is_mask]
    if not images:
        raise InputError("no image is in it. It is damaged or cut short")
    for page in images:
        _check_grey(page)
    _check_alike(images)
    series = [one for one in file.series if not _is_copy(one)]
    page = images[0]
    if len(series) != 1:
        raise UnsupportedFormatError(
            f"{len(series)} scans in one file are not supported. Save each as a file of its own"
        )
    (found,) = series
    axes = [(letter, n) for letter, n in zip(found.axes, found.shape, strict=True) if n > 1]
    rest, frames_first = _rest(axes, page)
    facts = Facts(
        found,
        page,
        (page.imagelength, page.imagewidth, *rest),
        page.dtype.newbyteorder("="),
        frames_first,
        Kept(),
        (),
    )
    _check_count(file, path, facts, pages, images)
    kept, notes = kept_of(file, page)
    if page.photometric == _WHITE_IS_ZERO:
        notes += ("bright is dark in these pixels (white is zero): stored as they are",)
    if len(images) < len(pages) or any(one.is_pyramidal for one in series):
        notes += ("smaller copies and masks in the file are left out",)
    return Facts(found, page, facts.shape, facts.dtype, frames_first, kept, notes)


def _unaccounted_bytes(file: Any, pages: Sequence[Any], path: Path) -> int:
    """Return the number of bytes outside of all directories, their values and their images."""
    spans = [(0, 16)]
    for page in _all_pages(pages):
        spans.append((page.offset, 10 + 20 * len(page.tags)))
        spans += [(tag.valueoffset, tag.valuebytecount) for tag in page.tags]
        spans += zip(page.dataoffsets, page.databytecounts, strict=False)
    for series in file.series:
        if series.dataoffset is not None:
            spans.append((series.dataoffset, series.nbytes))
    size = end = path.stat().st_size
    covered = last = 0
    for start, count in sorted(spans):
        stop = min(start + count, end)
        covered += max(stop - max(start, last), 0)
        last = max(last, stop)
    return size - covered


def _all_pages(pages: Any) -> list[Any]:
    """Return directories and their subdirectories."""
    found = []
    for page in pages:
        found.append(page)
        found += _all_pages(page.pages) if page.pages is not None else []
    return found


def _is_copy(series: Any) -> bool:
    page = series.keyframe
    return bool(page.is_reduced or page.is_mask)


def _check_grey(page: Any) -> None:
    """Raise an UnsupportedFormatError unless a pixel is one grey value of whole bytes."""
    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) or page.samplesperpixel != 1:
        name = getattr(page.photometric, "name", str(page.photometric))
        advice = f"Save each channel as a scan of its own: {_SAVE_CHANNEL}"
        if page.photometric == _PALETTE:
            advice = f"Save its indices, where they are values: {_SAVE_ANEW}"
        raise UnsupportedFormatError(
            f"a TIFF image of {page.samplesperpixel} samples a pixel ({name}) is not supported: "
            f"expected one grey value. {advice}"
        )
    kind = "" if page.dtype is None else page.dtype.kind
    if page.bitspersample not in _WHOLE_BITS.get(kind, ()):
        unpacked = "a.astype('u1'))\"" if page.bitspersample < 8 else 'a)"'
        needed = "" if page.bitspersample < 8 else " (needs imagecodecs)"
        what = {"c": "complex values"}.get(kind, f"{page.bitspersample} bits a sample")
        advice = f"Save it with whole bytes a sample: {_SAVE}{unpacked}{needed}"
        if kind == "c":
            advice = f'Save its real and imaginary parts as scans of their own: {_SAVE}a.real)"'
        raise UnsupportedFormatError(
            f"a TIFF image of {what} is not supported: expected 8, 16, 32 or 64 bits. {advice}"
        )


def _check_alike(images: Sequence[Any]) -> None:
    first = _described(images[0])
    for number, page in enumerate(images, 1):
        if _described(page) != first:
            raise InputError(
                f"page {number} is TIFF of {_described(page)}, but page 1 of {first}: the slices "
                "of a scan must be alike"
            )


def _described(page: Any) -> str:
    white = ", white is zero" if page.photometric == _WHITE_IS_ZERO else ""
    turned = page.tags.valueof(_ORIENTATION, 1)
    orientation = "" if turned == 1 else f", orientation {turned}"
    size = f"{page.imagelength} x {page.imagewidth}"
    return f"{size}, {page.dtype.name}{white}{orientation}"


def _rest(axes: list[tuple[str, int]], page: Any) -> tuple[tuple[int, ...], bool]:
    """Return the lengths of slices and frames, and whether frames are the outer axis.

    Raises:
        UnsupportedFormatError: channels, or more axes.
    """
    flat = [(letter, n) for letter, n in axes if letter not in "YX"]
    channels = [n for letter, n in flat if letter in "CS"]
    if channels:
        raise UnsupportedFormatError(
            f"a TIFF file of {channels[0]} channels is not supported: expected one grey value a "
            f"pixel. Save each channel as a scan of its own: {_SAVE_CHANNEL}"
        )
    if len(flat) > 2:
        told = " x ".join(str(n) for _, n in flat)
        raise UnsupportedFormatError(
            f"{told} images in a TIFF file are not supported: expected slices and frames. Save "
            "each part as a scan of its own"
        )
    lengths = [n for _, n in flat]
    if len(flat) == 2:
        # The outer axis holds the frames, unless the file states that it holds slices.
        frames_first = flat[0][0] != "Z"
        return (tuple(lengths[::-1]) if frames_first else tuple(lengths)), frames_first
    return tuple(lengths), True


def _check_count(
    file: Any, path: Path, facts: Facts, pages: Sequence[Any], images: Sequence[Any]
) -> None:
    """Raise an InputError where the number of images contradicts the file."""
    if any(page is None for page in facts.series.pages):
        raise InputError("some of its images lie in other files, or are missing. Give a whole file")
    area = facts.shape[0] * facts.shape[1]
    stated = tiff_count.count(path)
    if stated > facts.planes * area:
        raise InputError(
            f"{stated // area} images are said to be in the file, {facts.planes} can be read. It "
            f"is cut short, or its description is wrong. {SAVE_DIRECTORIES}"
        )
    if facts.series.size != math.prod(facts.shape):
        raise InputError(f"its images have {facts.series.size} pixels, expected {facts.shape}")
    for page in images:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if count == 0 or offset + count > path.stat().st_size:
                raise InputError("a part of an image is not in the file. It is cut short")
    plane = area * facts.dtype.itemsize
    hidden = _unaccounted_bytes(file, pages, path) if facts.page.compression == 1 else 0
    if hidden >= max(plane, _ROOM_FOR_TAGS):
        raise InputError(
            f"{hidden} bytes of the file belong to no image that its directories describe: they "
            f"have room for {hidden // plane} more slices. {SAVE_DIRECTORIES}"
        )
