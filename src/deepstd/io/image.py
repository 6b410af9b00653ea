"""Grey PNG and TIFF images of 8 or 16 bits: one 2-D frame, without geometry.

    file ─ Pillow ─▶ voxels[row, column] as stored, uint8 or uint16, affine None
             └▶ SourceHeader.raw: the resolution as JSON, or empty where there is none

Colour, palettes, transparency, 1-, 2- and 4-bit grey and inverted grey are refused: what is
compressed is what is stored, and none of these is one grey value a pixel.
"""

from __future__ import annotations

import json
import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from PIL.Image import Image

NAMES = ("png", "tiff")
SUFFIXES = (".png", ".tif", ".tiff")

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")
_GREY_ADVICE = 'Convert it to grey first, for example with Pillow: image.convert("L")'
_BITS_PER_SAMPLE, _PHOTOMETRIC, _X_RESOLUTION = 258, 262, 282
_BLACK_IS_ZERO = 1


def recognises(head: bytes) -> bool:
    """Whether a file that begins so is PNG or TIFF."""
    return head.startswith(_MAGIC)


def read(path: Path) -> Volume:
    """Read a grey image; voxels have shape (rows, columns).

    Raises:
        UnsupportedFormatError: not one grey value of 8 or 16 bits a pixel, or several pages.
        InputError: the file is damaged, cut short, or has more pixels than Pillow allows.
    """
    with opened(path) as image:
        kind = "png" if image.format == "PNG" else "tiff"
        check_grey(image, path)
        dpi = _plausible_dpi(image.info.get("dpi")) if _has_resolution(image) else None
        voxels = pixels(image)
    return Volume(voxels, None, SourceHeader(kind, _pack_dpi(dpi)))


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype] | None:
    """Shape and stored type of an image; None where it has several pages. Raises as `read`."""
    with opened(path) as image:
        if getattr(image, "n_frames", 1) != 1:
            return None
        check_grey(image, path)
        return (image.height, image.width), np.dtype("u1" if image.mode == "L" else "u2")


def write(volume: Volume, path: Path) -> None:
    """Write a 2-D uint8 or uint16 scan, with its resolution where it came from an image.

    Raises:
        UnsupportedFormatError: more axes or another type.
    """
    from PIL import Image

    voxels = volume.voxels
    if voxels.ndim != 2 or voxels.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UnsupportedFormatError(
            f"a scan of {voxels.ndim} axes and type {voxels.dtype} cannot be an image: expected 2 "
            "axes of uint8 or uint16. Write it as .nii.gz or .npy"
        )
    kind = "png" if path.suffix.lower() == ".png" else "tiff"
    native = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("="))
    dpi = _unpack_dpi(volume.source.raw) if volume.source.format in NAMES else None
    options: dict[str, Any] = {} if dpi is None else {"dpi": dpi}
    Image.fromarray(native).save(path, format=kind, **options)


def pixels(image: Image) -> np.ndarray:
    """The frame that an opened image stands at, shape (rows, columns), in native byte order."""
    image.load()
    values = np.array(image)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def frames(image: Image) -> int:
    """Frames of an opened image."""
    return getattr(image, "n_frames", 1)


@contextmanager
def opened(path: Path) -> Iterator[Image]:
    """A PNG or TIFF file, of which only the header is read yet."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns above 89 million pixels and refuses above twice that: here the first counts.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=("PNG", "TIFF")) as image:
            yield image


def check_grey(image: Image, path: Path) -> None:
    """UnsupportedFormatError unless a pixel of the frame is one grey value of 8 or 16 bits."""
    if image.format == "PNG" and frames(image) != 1:
        raise UnsupportedFormatError(
            f"an animation of {frames(image)} frames is not supported: expected one image"
        )
    if not (image.mode == "L" or image.mode.startswith("I;16")) or "transparency" in image.info:
        raise UnsupportedFormatError(
            f"a {image.format} image of mode {image.mode} is not supported: expected one grey "
            f"value of 8 or 16 bits a pixel, without transparency. {_GREY_ADVICE}"
        )
    bits, inverted = _depth(image, path)
    if bits not in (8, 16) or inverted:
        raise UnsupportedFormatError(
            f"a {image.format} image of {bits} bits a pixel{', white being zero,' * inverted} is "
            f"not supported: expected 8 or 16 bits, black being zero. {_GREY_ADVICE}"
        )


def stored_type(image: Image, path: Path) -> np.dtype:
    """Type of a pixel of an image that `check_grey` lets pass."""
    return np.dtype("u1" if _depth(image, path)[0] == 8 else "u2")


def _depth(image: Image, path: Path) -> tuple[int, bool]:
    """Stored bits of a pixel, which Pillow widens to 8, and whether white is zero."""
    if image.format == "PNG":
        with open(path, "rb") as stream:
            return stream.read(25)[24], False
    tags = _tiff_tags(image)
    return tags[_BITS_PER_SAMPLE][0], tags.get(_PHOTOMETRIC) != _BLACK_IS_ZERO


def _has_resolution(image: Image) -> bool:
    """Whether the file states it; Pillow gives every TIFF a dpi, of 1 where it does not."""
    return image.format == "PNG" or _X_RESOLUTION in _tiff_tags(image)


def _tiff_tags(image: Image) -> Mapping[int, Any]:
    return image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]


def _plausible_dpi(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if all(math.isfinite(v) and 0 < v < 1e6 for v in (x, y)) else None


def _pack_dpi(dpi: tuple[float, float] | None) -> bytes:
    if dpi is None:
        return b""
    rounded = [round(value, 4) for value in dpi]
    return json.dumps({"dpi": rounded}, separators=(",", ":")).encode()


def _unpack_dpi(raw: bytes) -> tuple[float, float] | None:
    if not raw:
        return None
    try:
        kept = json.loads(raw)
    except ValueError as error:
        raise InputError(f"the image's header is damaged ({error})") from error
    return _plausible_dpi(kept.get("dpi")) if isinstance(kept, dict) else None
