"""Grey JPEG images of 8 bits: one 2-D frame, without geometry.

    file ─ Pillow ─▶ voxels[row, column], uint8, affine None
             └▶ SourceHeader of PNG: resolution

The decoded values are the scan: JPEG has lost the original ones already. Writing JPEG would lose
more, so the image comes back as PNG. Some programs store grey values as three equal channels of
colour; these are read as grey. Images with any coloured pixel are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.image import notes_of, opened, pixels
from deepstd.io.others import FILE
from deepstd.io.picture_header import Kept, pack, plausible_dpi
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg")
_MAGIC = b"\xff\xd8\xff"
_ORIENTATION = 0x0112  # EXIF tag
_GREY, _COLOUR = "L", "RGB"
_TURNED = (5, 6, 7, 8)  # orientations that exchange rows and columns
_TO_GREY = f"python -c \"import PIL.Image; PIL.Image.open('{FILE}').convert('L').save('scan.png')\""


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is JPEG."""
    return head.startswith(_MAGIC)


def read(path: Path) -> Volume:
    """Read a grey image, turned as its EXIF orientation says; voxels have shape (rows, columns).

    Raises:
        UnsupportedFormatError: the image has colours, or several images are in the file.
        InputError: the file is damaged, cut short, or has more pixels than Pillow allows.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        turned = _is_turned(image)
        dpi = plausible_dpi(image.info.get("dpi"))
        stored = ImageOps.exif_transpose(image)
        voxels, equal = _grey(stored), image.mode == _COLOUR
    kept = Kept((dpi[1], dpi[0]) if dpi and turned else dpi)
    notes = [
        f"a JPEG image of {path.stat().st_size} bytes: its decoded values are the scan, and come "
        "back as PNG"
    ]
    if equal:
        notes.append("three equal channels in its file: kept as one")
    source = SourceHeader("png", pack(kept))
    return Volume(voxels, None, source, (*notes, *notes_of(kept)))


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape (rows, columns) and type of an image; colours show on reading only.

    Raises:
        UnsupportedFormatError: the pixels are neither grey nor RGB.
        InputError: the image has more pixels than Pillow allows.
    """
    with _opened(path) as image:
        shape = (image.height, image.width)
        return (shape[::-1] if _is_turned(image) else shape), np.dtype("u1")


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """Open a file of one grey or RGB image.

    Raises:
        UnsupportedFormatError: the pixels are neither grey nor RGB, or there are several images.
        InputError: the image has more pixels than Pillow allows.
    """
    from PIL import Image

    try:
        with opened(path, "JPEG") as image:
            frames = getattr(image, "n_frames", 1)
            if frames != 1:
                raise UnsupportedFormatError(
                    f"{frames} images in a JPEG file are not supported. Save each as a file of its "
                    "own"
                )
            if image.mode not in (_GREY, _COLOUR):
                raise _coloured(image.mode)
            yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"its header declares too many pixels ({error}). It is damaged, or no radiograph"
        ) from error


def _grey(image: Image) -> np.ndarray:
    """Return the grey values of an image of one channel, or of three that are equal.

    Raises:
        UnsupportedFormatError: the channels differ.
    """
    values = pixels(image)
    if image.mode == _GREY:
        return values
    red, green, blue = (values[..., channel] for channel in range(3))
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise _coloured(image.mode)
    return np.ascontiguousarray(red)


def _coloured(mode: str) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        f"a JPEG image in colour ({mode}) is not supported: expected one grey value a pixel. If "
        f"its colours mean nothing, save their brightness: {_TO_GREY}"
    )


def _is_turned(image: Image) -> bool:
    """Return whether the EXIF orientation exchanges rows and columns."""
    return image.getexif().get(_ORIENTATION, 1) in _TURNED
