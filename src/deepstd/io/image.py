"""Grey PNG images of 8 or 16 bits: one 2-D frame, without geometry.

    file ─ Pillow ─▶ voxels[row, column] as stored, uint8 or uint16, affine None
             └▶ SourceHeader.raw: resolution and significant bits as JSON, or empty

Colour, palettes, transparency and 1-, 2- and 4-bit grey are refused. Stored values are compressed,
and none of these images stores one grey value of 8 or 16 bits a pixel.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deepstd.errors import UnsupportedFormatError
from deepstd.io.others import FILE
from deepstd.io.picture_header import NAMES, Kept, pack, plausible_dpi, unpack
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL.Image import Image

SUFFIXES = (".png",)
MAGIC = b"\x89PNG\r\n\x1a\n"
_SIGNIFICANT_BITS = b"sBIT"
_GREY = 0  # PNG colour type
# Factors by which Pillow widens samples of 1, 2 and 4 bits to 0 … 255.
_WIDENED = {1: 255, 2: 85, 4: 17}


class Png(NamedTuple):
    """Facts in the chunks before the pixels.

    Attributes:
        bits: bits of a sample.
        colour: PNG colour type, 0 for grey.
        significant: bits that carry a value (chunk sBIT); None where the file states none.
    """

    bits: int
    colour: int
    significant: int | None


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is PNG."""
    return head.startswith(MAGIC)


def read(path: Path) -> Volume:
    """Read a grey image; voxels have shape (rows, columns).

    Raises:
        UnsupportedFormatError: a pixel is not one grey value of 8 or 16 bits.
        InputError: the file is damaged, cut short, or has more pixels than Pillow allows.
    """
    with opened(path) as image:
        kept = checked(image, path)
        voxels = pixels(image)
    return Volume(voxels, None, SourceHeader("png", pack(kept)), notes_of(kept))


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape (rows, columns) and stored type of an image.

    Raises:
        UnsupportedFormatError: a pixel is not one grey value of 8 or 16 bits.
    """
    with opened(path) as image:
        checked(image, path)
        return (image.height, image.width), stored_type(image)


def write(volume: Volume, path: Path) -> None:
    """Write a 2-D uint8 or uint16 scan with the kept resolution and significant bits.

    Raises:
        UnsupportedFormatError: the scan has more axes or another type.
        InputError: the header is damaged.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    voxels = volume.voxels
    if voxels.ndim != 2 or voxels.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UnsupportedFormatError(
            f"a scan of {voxels.ndim} axes and type {voxels.dtype} cannot be a PNG image: expected "
            "2 axes of uint8 or uint16. Write it as .nii.gz or .npy"
        )
    kept = unpack(volume.source.raw) if volume.source.format in NAMES else Kept()
    options: dict[str, Any] = {} if kept.dpi is None else {"dpi": kept.dpi}
    if kept.bits is not None:
        chunks = PngInfo()
        chunks.add(_SIGNIFICANT_BITS, bytes([min(kept.bits, 8 * voxels.dtype.itemsize)]))
        options["pnginfo"] = chunks
    native = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("="))
    Image.fromarray(native).save(path, format="png", **options)


def notes_of(kept: Kept) -> tuple[str, ...]:
    """Return notes for users on a PNG image's resolution."""
    if kept.dpi is None:
        return ()
    return (
        f"a resolution of {kept.dpi[0]:g} x {kept.dpi[1]:g} dpi: kept for PNG. NIfTI, NRRD and "
        "MetaImage get pixels of 1 mm, as SimpleITK reads them",
    )


def pixels(image: Image) -> np.ndarray:
    """Return the pixels of an opened image, shape (rows, columns), in native byte order."""
    image.load()
    values = np.array(image)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def stored_type(image: Image) -> np.dtype:
    """Return the type of a pixel of an image that `checked` accepts."""
    return np.dtype("u1" if image.mode == "L" else "u2")


@contextmanager
def opened(path: Path, kind: str = "PNG") -> Iterator[Image]:
    """Open a file and yield the image, of which only the header is read.

    Args:
        path: the file.
        kind: Pillow's name of its format.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns above 89 million pixels and raises above twice as many; here the warning
        # raises.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=(kind,)) as image:
            yield image


def checked(image: Image, path: Path) -> Kept:
    """Check that an image is supported and return the kept parts of its header.

    Raises:
        UnsupportedFormatError: a pixel is not one grey value of 8 or 16 bits.
    """
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise UnsupportedFormatError(
            f"an animation of {frames} frames is not supported: expected one image. Save each "
            "frame as an image of its own, and compress their folder"
        )
    png = _chunks(path)
    if png.colour != _GREY or png.bits < 8 or "transparency" in image.info:
        raise _not_grey(image.mode, png, "transparency" in image.info)
    dpi = plausible_dpi(image.info.get("dpi"))
    significant = png.significant
    return Kept(dpi, bits=significant if significant and significant < png.bits else None)


def _not_grey(mode: str, png: Png, transparency: bool) -> UnsupportedFormatError:
    """Return the error for an unsupported image, with a command that saves its stored values."""
    advice, values = "Save its values as they are", "numpy.asarray(image)"
    if png.colour == _GREY and png.bits < 8:
        values = f"numpy.asarray(image.convert('L')) // {_WIDENED[png.bits]}"
    elif mode == "P":
        advice = "Save its indices, where they are values"
    elif png.colour != _GREY:
        advice, values = "Save each channel as a scan of its own", "numpy.asarray(image)[..., 0]"
    command = (
        f"python -c \"import numpy, PIL.Image; image = PIL.Image.open('{FILE}'); "
        f"numpy.save('scan.npy', {values})\""
    )
    if png.colour != _GREY and png.bits > 8:  # Pillow reads colours of 16 bits as 8
        command = f"magick {FILE} -separate channel-%d.png"
    also = ", with transparency" if transparency else ""
    return UnsupportedFormatError(
        f"a PNG image of mode {mode} with {png.bits} bits a sample{also} is not supported: "
        f"expected one grey value of 8 or 16 bits a pixel. {advice}: {command}"
    )


def _chunks(path: Path) -> Png:
    """Read the chunks before the pixels; Pillow reports neither bit depth nor significant bits."""
    significant = None
    with open(path, "rb") as stream:
        header = stream.read(33)
        while True:
            start = stream.read(8)
            length, name = int.from_bytes(start[:4], "big"), start[4:]
            if len(start) < 8 or name == b"IDAT":
                break
            if name == _SIGNIFICANT_BITS and length == 1:
                significant = stream.read(1)[0]
                length -= 1
            stream.seek(length + 4, 1)
    return Png(header[24], header[25], significant)
