"""Still-image codecs, applied to the slices of a scan with one setting for all.

    voxels ─ levels ─▶ slices (·, ·, k) ─ codec ─▶ codestreams

JPEG is the 8-bit baseline codec, with optimised Huffman tables. JPEG 2000 is irreversible (9/7)
at the scan's own bit depth; its knob is the PSNR of each slice, so all slices of a scan have the
same error. HTJ2K is its high-throughput form, with the quantisation step as knob. JPEG XL is lossy
(VarDCT) at effort 7. HTJ2K and JPEG XL take the bit depth from the array's type, so their levels
are stretched over 16 bits.

The main header of the JPEG 2000 codecs is the same for all slices. It is counted once, and without
the free-text comment that encoders add.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from deepstd.baselines.base import Encoded, imagecodecs
from deepstd.baselines.grey import Grey, own_levels, slices_of, stretched_levels

_MARKER_BYTES = 2
_COMMENT = b"\xff\x64"
_START_OF_TILE = b"\xff\x90"
_MAX_RESOLUTIONS = 6
_JPEG_XL_EFFORT = 7


class Jpeg:
    """8-bit JPEG per slice; the knob is the quality, 1 to 100."""

    name = "JPEG"
    knobs = (1.0, 100.0)
    step = 1.0
    near = 0.999

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        imagecodecs("JPEG8")

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to one JPEG file per slice."""
        codec = imagecodecs("JPEG8")
        levels, grey = own_levels(voxels, max_bits=8)
        return Encoded(
            tuple(codec.jpeg8_encode(s, int(knob), optimize=True) for s in slices_of(levels)),
            grey,
        )

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        grey: Grey = encoded.side
        return grey.restore(map(imagecodecs("JPEG8").jpeg8_decode, encoded.streams))


class Jpeg2000:
    """Irreversible JPEG 2000 per slice; the knob is the PSNR in dB of the grey levels."""

    name = "JPEG 2000"
    knobs = (1.0, 130.0)
    step = 0.002
    near = 0.999

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        imagecodecs("JPEG2K")

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to one main header and the tiles of every slice."""
        levels, grey = own_levels(voxels, max_bits=16)
        return encode_planes(slices_of(levels), grey.bits, knob, grey)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        grey: Grey = encoded.side[0]
        return grey.restore(decode_planes(encoded))


class Htj2k:
    """High-throughput JPEG 2000 per slice; the knob is −log2 of the quantisation step."""

    name = "HTJ2K"
    knobs = (-1.0, 20.0)
    step = 1e-3
    near = 0.999

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        imagecodecs("HTJ2K")

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to one main header and the tiles of every slice."""
        codec = imagecodecs("HTJ2K")
        levels, grey = stretched_levels(voxels, 16)
        streams = (
            codec.htj2k_encode(part, 2.0**-knob, reversible=False) for part in slices_of(levels)
        )
        return _shared_header(streams, grey)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        codec, grey = imagecodecs("HTJ2K"), encoded.side[0]
        return grey.restore(map(codec.htj2k_decode, _with_header(encoded)))


class JpegXl:
    """Lossy JPEG XL per slice; the knob is −log2 of its Butteraugli distance."""

    name = "JPEG XL"
    knobs = (-4.64, 6.5)
    step = 1e-3
    near = 0.999

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        imagecodecs("JPEGXL")

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to one bare codestream per slice."""
        codec = imagecodecs("JPEGXL")
        levels, grey = stretched_levels(voxels, 16)
        return Encoded(
            tuple(
                codec.jpegxl_encode(
                    part,
                    distance=2.0**-knob,
                    effort=_JPEG_XL_EFFORT,
                    lossless=False,
                    usecontainer=False,
                )
                for part in slices_of(levels)
            ),
            grey,
        )

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        grey: Grey = encoded.side
        return grey.restore(map(imagecodecs("JPEGXL").jpegxl_decode, encoded.streams))


def encode_planes(planes: Iterable[np.ndarray], bits: int, psnr: float, side: Any) -> Encoded:
    """Encode unsigned planes with JPEG 2000, and store their main header once.

    Args:
        planes: uint8 or uint16 arrays (rows, columns).
        bits: bit depth of the values.
        psnr: PSNR of every plane in dB, with the peak 2^bits − 1.
        side: side information for the decoder.
    """
    codec = imagecodecs("JPEG2K")
    return _shared_header(
        (
            codec.jpeg2k_encode(
                plane,
                psnr,
                codecformat="j2k",
                bitspersample=bits,
                # More levels than halvings of the shorter side would only add empty headers.
                resolutions=min(_MAX_RESOLUTIONS, min(plane.shape).bit_length()),
                reversible=False,
            )
            for plane in planes
        ),
        side,
    )


def decode_planes(encoded: Encoded) -> Iterator[np.ndarray]:
    """Decode the planes of `encode_planes`."""
    return map(imagecodecs("JPEG2K").jpeg2k_decode, _with_header(encoded))


def _shared_header(streams: Iterable[bytes], side: Any) -> Encoded:
    pairs = [_split(stream) for stream in streams]
    headers = list(dict.fromkeys(header for header, _ in pairs))
    used = [headers.index(header) for header, _ in pairs]
    return Encoded((*headers, *(tiles for _, tiles in pairs)), (side, used))


def _with_header(encoded: Encoded) -> Iterator[bytes]:
    _, used = encoded.side
    tiles = encoded.streams[-len(used) :]
    return (encoded.streams[h] + t for h, t in zip(used, tiles, strict=True))


def _split(codestream: bytes) -> tuple[bytes, bytes]:
    """Split a JPEG 2000 codestream into its main header, without comments, and its tiles."""
    kept, position = [codestream[:_MARKER_BYTES]], _MARKER_BYTES
    while codestream[position : position + _MARKER_BYTES] != _START_OF_TILE:
        size_at = position + _MARKER_BYTES
        length = int.from_bytes(codestream[size_at : size_at + 2], "big")
        segment = codestream[position : size_at + length]
        if not segment.startswith(_COMMENT):
            kept.append(segment)
        position = size_at + length
    return b"".join(kept), codestream[position:]
