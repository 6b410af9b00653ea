"""Lossless codecs.

    voxels ─ bytes ─ gzip ─▶ codestream          voxels ─ levels ─▶ slices ─ codec ─▶ codestreams

The image codecs take integers with a range of at most 16 bits; other scans are refused.
"""

from __future__ import annotations

import gzip

import numpy as np

from deepstd.baselines.base import Encoded, imagecodecs
from deepstd.baselines.grey import Grey, own_levels, slices_of
from deepstd.errors import UnsupportedFormatError
from deepstd.quality import finite_range

_GZIP_LEVEL = 9
_BITS = 16
_JPEG_XL_EFFORT = 7


class Gzip:
    """gzip -9 of the stored voxels."""

    name = "gzip"

    def check(self) -> None:
        """Do nothing, as gzip is part of Python."""

    def encode(self, voxels: np.ndarray) -> Encoded:
        """Encode a scan to one codestream."""
        stream = gzip.compress(voxels.tobytes(order="F"), _GZIP_LEVEL, mtime=0)
        return Encoded((stream,), (voxels.shape, voxels.dtype))

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode the scan."""
        shape, dtype = encoded.side
        values = np.frombuffer(gzip.decompress(encoded.streams[0]), dtype)
        return values.reshape(shape, order="F")


class JpegLs:
    """Lossless JPEG-LS per slice, 8 or 16 bits per sample."""

    name = "JPEG-LS"

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        imagecodecs("JPEGLS")

    def encode(self, voxels: np.ndarray) -> Encoded:
        """Encode a scan to one file per slice."""
        codec = imagecodecs("JPEGLS")
        levels, grey = _exact_levels(voxels, self.name)
        return Encoded(tuple(map(codec.jpegls_encode, slices_of(levels))), grey)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode the scan."""
        grey: Grey = encoded.side
        return grey.restore(map(imagecodecs("JPEGLS").jpegls_decode, encoded.streams))


class JpegXlLossless:
    """Lossless JPEG XL per slice, effort 7."""

    name = "JPEG XL lossless"

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        imagecodecs("JPEGXL")

    def encode(self, voxels: np.ndarray) -> Encoded:
        """Encode a scan to one bare codestream per slice."""
        codec = imagecodecs("JPEGXL")
        levels, grey = _exact_levels(voxels, self.name)
        return Encoded(
            tuple(
                codec.jpegxl_encode(part, effort=_JPEG_XL_EFFORT, lossless=True, usecontainer=False)
                for part in slices_of(levels)
            ),
            grey,
        )

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode the scan."""
        grey: Grey = encoded.side
        return grey.restore(map(imagecodecs("JPEGXL").jpegxl_decode, encoded.streams))


def _exact_levels(voxels: np.ndarray, name: str) -> tuple[np.ndarray, Grey]:
    low, high = finite_range(voxels)
    if voxels.dtype.kind not in "iub" or high - low >= 2**_BITS:
        raise UnsupportedFormatError(
            f"{name} takes integers whose range has at most {_BITS} bits, not {voxels.dtype} from "
            f"{low:g} to {high:g}"
        )
    levels, grey = own_levels(voxels, _BITS)
    if grey.scale != 1.0:  # few levels were stretched over 8 bits
        levels = (voxels.astype(np.int64) - int(low)).astype(np.uint8)
        grey = Grey(low, 1.0, 8, voxels.shape, voxels.dtype)
    return levels, grey
