"""JPEG 2000 with a wavelet across slices, as in Part 2 of the standard.

    voxels − middle ─ 9/7 along k, orthonormal ─▶ planes ─ one scale ─ JPEG 2000 ─▶ codestreams

The planes of all subbands are coded at the same PSNR relative to one peak. With orthonormal gains
this is the bit allocation of a volume codec. The wavelet has two levels, as more are worse on thick
slices. A scan of 2 axes, or of one slice, is coded by plain JPEG 2000. Every frame of a 4-D scan is
transformed separately.
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.baselines.base import Encoded, imagecodecs
from deepstd.baselines.grey import filled, to_type
from deepstd.baselines.slices import decode_planes, encode_planes
from deepstd.quality import finite_range

# Lifting steps and scaling of the CDF 9/7 wavelet (ISO/IEC 15444-1, annex F).
_STEPS = (-1.586134342, -0.052980118, 0.882911075, 0.443506852)
_GAIN = 1.230174105
_LEVELS = 2
_BITS = 16


class Jpeg2000Volume:
    """Irreversible JPEG 2000 over a wavelet along k; the knob is the PSNR of every plane in dB."""

    name = "JPEG 2000 3-D"
    knobs = (1.0, 130.0)
    step = 0.002
    near = 0.999

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        imagecodecs("JPEG2K")

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to one main header and the tiles of every plane."""
        values = filled(voxels)
        low, high = finite_range(values)
        middle = (low + high) / 2
        bands = values.astype(np.float32)
        bands -= np.float32(middle)
        lengths = _lengths(voxels.shape)
        for length in lengths:
            bands[:, :, :length] = _forward(bands[:, :, :length])
        largest = float(np.abs(bands).max())
        scale = largest / (2 ** (_BITS - 1) - 1) or 1.0
        # Offset by the middle of the range: JPEG 2000 shifts it back to zero, and a plane of zeros
        # takes next to no bytes.
        planes = (
            (np.rint(bands[(..., *k)].T / scale) + 2 ** (_BITS - 1)).astype(np.uint16)
            for k in np.ndindex(bands.shape[2:])
        )
        return encode_planes(planes, _BITS, knob, (voxels.shape, voxels.dtype, middle, scale))

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        shape, dtype, middle, scale = encoded.side[0]
        bands = np.empty(shape, np.float32)
        for k, plane in zip(np.ndindex(shape[2:]), decode_planes(encoded), strict=True):
            bands[(..., *k)] = scale * (plane.T.astype(np.float64) - 2 ** (_BITS - 1))
        for length in reversed(_lengths(shape)):
            bands[:, :, :length] = _inverse(bands[:, :, :length])
        return to_type(bands.astype(np.float64) + middle, dtype)


def _lengths(shape: tuple[int, ...]) -> list[int]:
    """Return the number of slices that each level of the transform halves."""
    lengths, length = [], shape[2] if len(shape) > 2 else 1
    while length > 1 and len(lengths) < _LEVELS:
        lengths.append(length)
        length = (length + 1) // 2
    return lengths


def _forward(signal: np.ndarray) -> np.ndarray:
    """Decompose along the third axis into low-pass and high-pass bands; symmetric borders."""
    even, odd = signal[:, :, ::2].copy(), signal[:, :, 1::2].copy()
    for number, step in enumerate(_STEPS):
        _lift(even, odd, number, step)
    even *= math.sqrt(2) / _GAIN
    odd *= _GAIN / math.sqrt(2)
    return np.concatenate([even, odd], axis=2)


def _inverse(bands: np.ndarray) -> np.ndarray:
    half = (bands.shape[2] + 1) // 2
    even, odd = bands[:, :, :half].copy(), bands[:, :, half:].copy()
    even *= _GAIN / math.sqrt(2)
    odd *= math.sqrt(2) / _GAIN
    for number, step in reversed(list(enumerate(_STEPS))):
        _lift(even, odd, number, -step)
    signal = np.empty_like(bands)
    signal[:, :, ::2], signal[:, :, 1::2] = even, odd
    return signal


def _lift(even: np.ndarray, odd: np.ndarray, number: int, step: float) -> None:
    """Apply a lifting step in place to the odd slices (even ``number``) or the even slices."""
    if number % 2 == 0:
        following = np.minimum(np.arange(odd.shape[2]) + 1, even.shape[2] - 1)
        odd += step * (even[:, :, : odd.shape[2]] + even[:, :, following])
    else:
        indices = np.arange(even.shape[2])
        before, after = np.maximum(indices - 1, 0), np.minimum(indices, odd.shape[2] - 1)
        even += step * (odd[:, :, before] + odd[:, :, after])
