"""Grey TIFF files through tifffile: one image, or slices and frames in one file.

    file ─ tifffile ─ directories, descriptions (ImageJ, OME, tiled volumes) ─▶ one series, checked
    series ─ tifffile, or Pillow where it has no decoder ─▶ voxels[row, column(, slice(, frame))]
      └▶ SourceHeader.raw: resolution, distances, grey scale as JSON, or empty
    Volume ─ tifffile ─▶ one directory a slice, with the kept header

Several directories are slices, and so are images that one directory describes. The number of
slices is checked against the descriptions and the size of the file, so that none is lost.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, MissingExtraError, UnsupportedFormatError
from deepstd.io import tiff_facts
from deepstd.io.picture_header import MM_PER_INCH, NO_SCALE, Kept, pack, unpack
from deepstd.io.picture_header import NAMES as PICTURES
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".tif", ".tiff")
_IMAGE, _STACK = "tiff", "tiff-stack"
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
_IMAGEJ_DTYPES = ("u1", "u2", "f4")
_PILLOW_DTYPES = ("u1", "u2", "i2", "i4", "f4")
_NOT_OF_OME = ("u8", "i8", "f2")
_MOST_IMAGEJ_BYTES = 1 << 32  # ImageJ files have no 64-bit offsets
# Bytes of pixels per byte of a file: more than deflate and LZW reach on a black image.
_MAX_RATIO = 2000
_ORIENTATION = 274
# TIFF's eight orientations: whether rows and columns are exchanged, then the reversed axes.
_TURNS = {
    1: (False, ()), 2: (False, (1,)), 3: (False, (0, 1)), 4: (False, (0,)),
    5: (True, ()), 6: (True, (1,)), 7: (True, (0, 1)), 8: (True, (0,)),
}  # fmt: skip


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is TIFF or BigTIFF."""
    return head.startswith(_MAGIC)


def read(path: Path) -> Volume:
    """Read an image, a stack of images, or frames of stacks.

    Raises:
        UnsupportedFormatError: not one grey value a pixel, or not 2 to 4 axes.
        InputError: images differ in size or type, or the file is damaged or cut short.
        MissingExtraError: the compression needs a decoder that is not installed.
    """
    with opened(path) as file:
        facts = tiff_facts.of(file, path)
        _check_size(facts, path.stat().st_size)
        voxels = facts.arranged(_decoded(facts, path))
    voxels = _turned(voxels, facts.page.tags.valueof(_ORIENTATION, 1))
    source = SourceHeader(_IMAGE if voxels.ndim == 2 else _STACK, pack(facts.kept))
    return Volume(voxels, None, source, facts.notes)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and stored type of a scan without decoding its pixels.

    Raises:
        UnsupportedFormatError: not one grey value a pixel, or not 2 to 4 axes.
        InputError: images differ in size or type, or the directories are damaged.
    """
    shape, dtype, _ = described(path)
    return shape, dtype


def described(path: Path) -> tuple[tuple[int, ...], np.dtype, Kept]:
    """Return shape, stored type and kept header of a scan without decoding its pixels.

    Raises:
        UnsupportedFormatError: not one grey value a pixel, or not 2 to 4 axes.
        InputError: images differ in size or type, or the directories are damaged.
    """
    with opened(path) as file:
        facts = tiff_facts.of(file, path)
        turned, _ = _TURNS.get(facts.page.tags.valueof(_ORIENTATION, 1), _TURNS[1])
        rows, columns, *rest = facts.shape
        shape = (columns, rows, *rest) if turned else facts.shape
        return shape, facts.dtype, facts.kept


def write(volume: Volume, path: Path) -> None:
    """Write a scan, one directory a slice, with the kept header of an image.

    A distance between slices, frames and a grey scale need a description: ImageJ's where it has the
    type, else OME's.

    Raises:
        UnsupportedFormatError: another type, or more than four axes.
        InputError: the header is damaged.
    """
    import tifffile

    voxels = volume.voxels
    native = voxels.dtype.newbyteorder("=")
    if native not in [np.dtype(name) for name in _DTYPES]:
        raise UnsupportedFormatError(
            f"a scan of type {voxels.dtype} cannot be a TIFF file: expected integers or floats. "
            "Write it as .nii.gz or .npy"
        )
    kept = unpack(volume.source.raw) if volume.source.format in PICTURES else Kept()
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}[voxels.ndim]
    order = {2: (0, 1), 3: (2, 0, 1), 4: (3, 2, 0, 1)}[voxels.ndim]
    planes = np.ascontiguousarray(voxels.transpose(order), dtype=native)
    options: dict[str, Any] = {"metadata": None, "software": False}
    described = voxels.ndim == 4 or kept.slice is not None or kept.scale != NO_SCALE
    # tifffile drops a last axis of length one from ImageJ files.
    small = planes.nbytes < _MOST_IMAGEJ_BYTES and planes.shape[-1] > 1
    if described and native.str[1:] in _IMAGEJ_DTYPES and small:
        options |= _as_imagej(kept, axes)
    elif described and native.str[1:] not in _NOT_OF_OME:
        options |= _as_ome(kept, axes)
    elif voxels.ndim == 4:
        raise UnsupportedFormatError(
            f"frames of type {voxels.dtype} cannot be a TIFF file. Write them as .nii.gz or .npy"
        )
    elif kept.dpi is not None:
        options |= {"resolution": kept.dpi, "resolutionunit": "INCH"}
    photometric = "miniswhite" if kept.white else "minisblack"
    tifffile.imwrite(path, planes, photometric=photometric, **options)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file and yield a `tifffile.TiffFile`, with its warnings silenced.

    Raises:
        InputError: tifffile cannot parse the file.
    """
    import tifffile

    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            yield file
    except (tifffile.TiffFileError, IndexError, KeyError, ZeroDivisionError) as error:
        raise InputError(f"its directories or pixels are damaged or cut short ({error})") from error
    finally:
        logger.setLevel(level)


def _check_size(facts: tiff_facts.Facts, nbytes: int) -> None:
    """Raise an InputError where a file is too small for the pixels that it declares."""
    wanted = math.prod(facts.shape) * facts.dtype.itemsize
    if wanted > nbytes * (_MAX_RATIO if facts.page.compression != 1 else 1):
        raise InputError(
            f"{facts.shape} pixels, {wanted} bytes, cannot come of {nbytes} bytes. The file is cut "
            f"short, or its description is wrong. {tiff_facts.SAVE_DIRECTORIES}"
        )


def _decoded(facts: tiff_facts.Facts, path: Path) -> np.ndarray:
    """Decode all images of a series, shape (images, rows, columns)."""
    planes = facts.series.asarray() if _has_decoder(facts.page) else _by_pillow(facts, path)
    rows, columns = facts.shape[:2]
    return planes.reshape(-1, rows, columns).astype(facts.dtype, copy=False)


def _has_decoder(page: Any) -> bool:
    """Return whether tifffile can decode an image, alone or with imagecodecs."""
    import tifffile

    try:
        return page.compression == 1 or tifffile.TIFF.DECOMPRESSORS[page.compression] is not None
    except KeyError:
        return False


def _by_pillow(facts: tiff_facts.Facts, path: Path) -> np.ndarray:
    """Decode images that tifffile leaves to imagecodecs, such as LZW.

    Raises:
        UnsupportedFormatError: the compression is unknown.
        MissingExtraError: only imagecodecs has a decoder.
    """
    from PIL import Image

    name = getattr(facts.page.compression, "name", None)
    if name is None:
        raise UnsupportedFormatError(
            f"compression {int(facts.page.compression)} of TIFF is not known, or it is damaged"
        )
    missing = MissingExtraError(f"{name} compression of TIFF needs: pip install imagecodecs")
    # Pillow applies the orientation, which is applied to all images elsewhere here.
    turned = facts.page.tags.valueof(_ORIENTATION, 1) != 1
    if turned or facts.dtype.str[1:] not in _PILLOW_DTYPES:
        raise missing
    planes = np.empty((facts.planes, *facts.shape[:2]), facts.dtype)
    with Image.open(path, formats=("TIFF",)) as image:
        if getattr(image, "n_frames", 1) != facts.planes:
            raise missing
        for number in range(facts.planes):
            image.seek(number)
            planes[number] = np.array(image)
    return planes


def _turned(voxels: np.ndarray, orientation: Any) -> np.ndarray:
    """Return an image whose first row is the top and whose first column is the left."""
    swapped, back = _TURNS.get(orientation, _TURNS[1])
    voxels = voxels.swapaxes(0, 1) if swapped else voxels
    return np.flip(voxels, back) if back else voxels


def _as_imagej(kept: Kept, axes: str) -> dict[str, Any]:
    told: dict[str, Any] = {"axes": axes}
    if kept.spacing is not None:
        told |= {"unit": "mm", "spacing": kept.spacing[2]}
    if kept.frame is not None:
        told["finterval"] = kept.frame
    if kept.scale != NO_SCALE:
        told |= {"cf": 0, "c0": kept.scale[1], "c1": kept.scale[0]}
    x, y = kept.dpi or (MM_PER_INCH, MM_PER_INCH)
    return {"imagej": True, "metadata": told, "resolution": (x / MM_PER_INCH, y / MM_PER_INCH)}


def _as_ome(kept: Kept, axes: str) -> dict[str, Any]:
    told: dict[str, Any] = {"axes": axes}
    if kept.spacing is not None:
        for axis, size in zip("YXZ", kept.spacing, strict=True):
            told |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "mm"}
    if kept.frame is not None:
        told |= {"TimeIncrement": kept.frame, "TimeIncrementUnit": "s"}
    return {"ome": True, "metadata": told}
