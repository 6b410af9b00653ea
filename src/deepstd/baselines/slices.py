"""Codecs of still images, applied to the axial slices of a scan with one setting for all.

    voxels ─ grey levels from 0 (8 or up to 16 bits) ─▶ slices (·, ·, k) ─ codec ─▶ codestreams

JPEG is the 8-bit baseline codec, with optimised Huffman tables. JPEG 2000 is irreversible (9/7)
at the scan's own bit depth: integers of 8 to 16 bits are only shifted to start at 0, everything
else is mapped linearly, label maps to 8 bits and floats to 16. Its knob is the PSNR of each slice,
so all slices of a scan have the same error. The main header, which is the same for all slices, is
counted once, and without the free-text comment that the encoder adds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deepstd.baselines.base import Encoded, filled, imagecodecs, to_type
from deepstd.errors import UnsupportedFormatError
from deepstd.quality import finite_range

_MARKER_BYTES = 2
_COMMENT = b"\xff\x64"
_START_OF_TILE = b"\xff\x90"
_MAX_RESOLUTIONS = 6
_BYTE = 8


class Jpeg:
    """8-bit JPEG per slice; the knob is the quality, 1 to 100."""

    name = "JPEG"
    knobs = (1.0, 100.0)
    step = 1.0

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """One JPEG file per slice."""
        codec = imagecodecs()
        levels, grey = _to_levels(voxels, max_bits=8)
        return Encoded(
            tuple(codec.jpeg8_encode(part, int(knob), optimize=True) for part in _slices(levels)),
            grey,
        )

    def decode(self, encoded: Encoded) -> np.ndarray:
        """The restored scan in the shape and type of the original."""
        return _from_levels(map(imagecodecs().jpeg8_decode, encoded.streams), encoded.side)


class Jpeg2000:
    """Irreversible JPEG 2000 per slice; the knob is the PSNR in dB of the grey levels."""

    name = "JPEG 2000"
    knobs = (1.0, 130.0)
    step = 0.002

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """One main header, and the tiles of every slice."""
        codec = imagecodecs()
        levels, grey = _to_levels(voxels, max_bits=16)
        # More levels than the shorter side has halvings only add empty headers.
        resolutions = min(_MAX_RESOLUTIONS, min(levels.shape[:2]).bit_length())
        streams = (
            codec.jpeg2k_encode(
                part,
                knob,
                codecformat="j2k",
                bitspersample=grey.bits,
                resolutions=resolutions,
                reversible=False,
            )
            for part in _slices(levels)
        )
        pairs = [_split(stream) for stream in streams]
        headers = list(dict.fromkeys(header for header, _ in pairs))
        used = [headers.index(header) for header, _ in pairs]
        return Encoded((*headers, *(tiles for _, tiles in pairs)), (grey, used))

    def decode(self, encoded: Encoded) -> np.ndarray:
        """The restored scan in the shape and type of the original."""
        codec = imagecodecs()
        grey, used = encoded.side
        tiles = encoded.streams[-len(used) :]
        streams = (encoded.streams[h] + t for h, t in zip(used, tiles, strict=True))
        return _from_levels(map(codec.jpeg2k_decode, streams), grey)


@dataclass(frozen=True)
class _Grey:
    """How grey levels become stored values again: value = low + scale · level."""

    low: float
    scale: float
    bits: int
    shape: tuple[int, ...]
    dtype: np.dtype


def _to_levels(voxels: np.ndarray, max_bits: int) -> tuple[np.ndarray, _Grey]:
    """Grey levels, uint8 or uint16, with axes (i, j, k)."""
    if voxels.ndim not in (2, 3):
        raise UnsupportedFormatError(
            f"slice codecs take scans of 2 or 3 axes, got shape {voxels.shape}; pass one frame"
        )
    values = filled(voxels)
    low, high = finite_range(values)
    bits = int(high - low).bit_length()
    if voxels.dtype == np.uint8:
        low, scale, bits = 0.0, 1.0, _BYTE
    elif voxels.dtype.kind in "iu" and _BYTE <= bits <= max_bits:
        scale = 1.0
    else:
        # Fewer than 8 bits would let the rounding of the transform show: label maps are stretched.
        bits = max_bits if voxels.dtype.kind == "f" else max(min(bits, max_bits), _BYTE)
        scale = (high - low) / (2**bits - 1) or 1.0
    levels = np.empty(voxels.shape, np.uint8 if bits <= _BYTE else np.uint16)
    for k in np.ndindex(voxels.shape[2:]):
        part = (..., *k)
        levels[part] = np.rint((values[part].astype(np.float64) - low) / scale)
    grey = _Grey(low, scale, bits, voxels.shape, voxels.dtype)
    return levels, grey


def _from_levels(slices: Iterable[np.ndarray], grey: _Grey) -> np.ndarray:
    restored = np.empty(grey.shape, grey.dtype)
    for k, levels in zip(np.ndindex(grey.shape[2:]), slices, strict=True):
        values = grey.low + grey.scale * levels.T.astype(np.float64)
        restored[(..., *k)] = to_type(values, grey.dtype)
    return restored


def _slices(levels: np.ndarray) -> list[np.ndarray]:
    """Contiguous (i, j) slices, rows along j."""
    return [levels[(..., *k)].T.copy() for k in np.ndindex(levels.shape[2:])]


def _split(codestream: bytes) -> tuple[bytes, bytes]:
    """Main header of a JPEG 2000 codestream without its comments, and its tiles."""
    kept, position = [codestream[:_MARKER_BYTES]], _MARKER_BYTES
    while codestream[position : position + _MARKER_BYTES] != _START_OF_TILE:
        size_at = position + _MARKER_BYTES
        length = int.from_bytes(codestream[size_at : size_at + 2], "big")
        segment = codestream[position : size_at + length]
        if not segment.startswith(_COMMENT):
            kept.append(segment)
        position = size_at + length
    return b"".join(kept), codestream[position:]
