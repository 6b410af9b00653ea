"""Levels of the wavelet in numpy: the reference of the native engine, bit for bit.

subbands ─ interleave, scale, lift, axis by axis ─▶ samples, slab by slab of the first axis
samples ─ lift, scale, every second sample ─▶ subbands
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deepstd.texture.wavelet.lifting_steps import Steps

# Pairs of samples beyond a slab, on either side, that its samples depend on; samples of a slab.
_REACH = 3
_SLAB_SAMPLES = 1 << 22


def transform(
    steps: Steps, low: np.ndarray, high: np.ndarray, fine: np.ndarray, axes: Sequence[int]
) -> None:
    """Fill ``fine`` from the subbands, or the subbands from ``fine``, as the steps ask.

    Args:
        steps: lifting steps.
        low, high, fine: arrays of one level, (B, 1, *coarse), (B, bands, *coarse), (B, 1, *fine).
        axes: axes that are split.
    """
    factor = 2 if 0 in axes else 1
    reach = _REACH if 0 in axes else 0
    planes, count = low.shape[2], fine.shape[2]
    rows = max(1, _SLAB_SAMPLES // max(1, math.prod(fine.shape[3:]) * factor))
    for start in range(0, planes, rows):
        stop = min(start + rows, planes)
        first, last = max(start - reach, 0), min(stop + reach, planes)
        window = slice(factor * first, min(factor * last, count))
        inner = slice(factor * start, min(factor * stop, count))
        kept = slice(inner.start - window.start, inner.stop - window.start)
        # Contiguous copies in float64, so that slices of both parities are fast to change.
        x = np.zeros((len(fine), 1, window.stop - window.start, *fine.shape[3:]))
        if not steps.merges:
            x[...] = fine[:, :, window]
        for band in _bands(axes) if steps.merges else ():
            place = _places(band, axes, x.ndim - 2)
            shape = x[place].shape[2:]
            source = _subband(low, high, band)[:, :, first:last]
            x[place] = source[(..., *(slice(0, n) for n in shape))]
        for axis in reversed(axes) if steps.merges else axes:
            _lift(np.moveaxis(x, axis + 2, 0), steps)
        if steps.merges:
            fine[:, :, inner] = x[:, :, kept]
            continue
        for band in _bands(axes):
            found = x[:, :, kept][_places(band, axes, x.ndim - 2)]
            target = _subband(low, high, band)[:, :, start:stop]
            target[(..., *(slice(0, n) for n in found.shape[2:]))] = found


def _bands(axes: Sequence[int]) -> list[int]:
    """Return the numbers of the subbands, 0 for low; bit a is set for high-pass along axis a."""
    bands = [0]
    for axis in axes:
        bands += [band | 1 << axis for band in bands]
    return bands


def _places(band: int, axes: Sequence[int], ndim: int) -> tuple[slice, ...]:
    """Return the index of a subband's samples among all, (B, 1, *spatial)."""
    spans = [slice(band >> a & 1, None, 2) if a in axes else slice(None) for a in range(ndim)]
    return (slice(None), slice(None), *spans)


def _subband(low: np.ndarray, high: np.ndarray, band: int) -> np.ndarray:
    return high[:, band - 1 : band] if band else low


def _lift(x: np.ndarray, steps: Steps) -> None:
    """Apply all steps along the first axis, in place."""
    halves = x[0::2], x[1::2]
    if steps.merges:
        _scale(halves, steps)
    for number, factor in enumerate(steps.factors):
        own = (steps.first + number) % 2
        target = halves[own]
        before, after = _neighbours(halves[1 - own], own, len(target), steps.transposed)
        _add_multiple(target, before + after, factor, steps)
        if steps.transposed:
            # The first and the last sample have been read twice.
            if own == 1:
                _add_multiple(target[:1], x[:1], factor, steps)
            if len(x) % 2 == own:
                _add_multiple(target[-1:], x[-1:], factor, steps)
    if not steps.merges:
        _scale(halves, steps)


def _neighbours(
    other: np.ndarray, own: int, count: int, transposed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples before and after each sample of a half.

    Args:
        other: the other half.
        own: 0 where the low half's neighbours are asked for, 1 for the high half.
        count: samples of the half.
        transposed: whether missing samples are zero; else they mirror those on the other side.
    """
    ends = [other[:1], other[-1:]]
    if transposed:
        ends = [np.zeros_like(end) for end in ends]
    if own == 0:
        extended = np.concatenate([ends[0], other, ends[1]])
    else:
        extended = np.concatenate([other, ends[1]])
    return extended[:count], extended[1 : count + 1]


def _add_multiple(target: np.ndarray, sums: np.ndarray, factor: float, steps: Steps) -> None:
    multiples = sums * factor
    if steps.whole:
        multiples += 0.5
        np.floor(multiples, out=multiples)
    if steps.sign > 0:
        target += multiples
    else:
        target -= multiples


def _scale(halves: tuple[np.ndarray, np.ndarray], steps: Steps) -> None:
    for half, factor in zip(halves, steps.scales, strict=True):
        half *= factor
        if steps.whole:
            half += 0.5
            np.floor(half, out=half)
