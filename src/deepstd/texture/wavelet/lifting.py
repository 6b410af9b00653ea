"""CDF 9/7 wavelet by lifting, in 2-D and 3-D, on any size.

    x ─ split axis by axis ─▶ low (ceil n/2) ─ split ─▶ … ─▶ one last low
                           └▶ 2**ndim − 1 high subbands a level

Lengths are not padded: an axis of n samples splits into ceil(n/2) low and floor(n/2) high samples,
with whole-sample symmetric extension. High subbands are zero-padded to the low grid, so that one
array holds all of them; `subband_mask` is true where they have a coefficient.

`merge` rounds every lifting step to a whole number of the fixed-point unit, so float64 computes it
exactly and every machine gets the same reconstruction. `split` is ordinary floating point, which is
all an encoder needs, unless asked to work in whole numbers too. Both use the same rational lifting
factors (CDF 9/7 of Daubechies and Sweldens, 1998, scaled so that one quantiser step suits all
subbands).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepstd.engine.library import engine
from deepstd.texture.wavelet import native_lifting, reference_lifting
from deepstd.texture.wavelet.lifting_steps import ADJOINT, MERGE, SPLIT, SPLIT_WHOLE, Steps
from deepstd.threads import thread_count

Plan = tuple[tuple[int, ...], ...]


def coarseness(spacing: Sequence[float] | None, ndim: int) -> tuple[int, ...]:
    """Return voxel sizes relative to the finest in half octaves, 0 … 15; zeros when unknown.

    Args:
        spacing: voxel size along each axis in any unit, or None.
        ndim: number of axes.
    """
    if spacing is None or not all(0.0 < s < math.inf for s in spacing):
        return (0,) * ndim
    finest = min(spacing)
    return tuple(min(15, round(2.0 * math.log2(s / finest))) for s in spacing)


def split_plan(shape: Sequence[int], coarse: Sequence[int]) -> Plan:
    """Return the axes split at each level, finest level first, until a single sample is left.

    Where voxel sizes differ by more than half an octave, only the finer axes are split, so that a
    low subband tends to isotropic voxels.

    Args:
        shape: samples along each axis.
        coarse: relative voxel sizes in half octaves, 0 … 15.
    """
    lengths, sizes = list(shape), list(coarse)
    plan: list[tuple[int, ...]] = []
    while max(lengths) > 1:
        splittable = [a for a, n in enumerate(lengths) if n > 1]
        finest = min(sizes[a] for a in splittable)
        axes = tuple(a for a in splittable if sizes[a] <= finest + 1)
        for axis in axes:
            lengths[axis] = (lengths[axis] + 1) // 2
            sizes[axis] += 2
        plan.append(axes)
    return tuple(plan)


def grid_shapes(shape: Sequence[int], plan: Plan) -> list[tuple[int, ...]]:
    """Return the shapes of the low subband after 0, 1, … levels."""
    shapes = [tuple(shape)]
    for axes in plan:
        shapes.append(tuple((n + 1) // 2 if a in axes else n for a, n in enumerate(shapes[-1])))
    return shapes


def subband_shape(fine: Sequence[int], axes: Sequence[int], band: int) -> tuple[int, ...] | None:
    """Return the extent of a high subband without padding; None where the split has no such band.

    Args:
        fine: shape before the split.
        axes: axes that are split.
        band: 1 … 2**ndim − 1; bit a is set where the band is high-pass along axis a.
    """
    if any(band >> a & 1 and a not in axes for a in range(len(fine))):
        return None
    return tuple(
        (n // 2 if band >> a & 1 else (n + 1) // 2) if a in axes else n for a, n in enumerate(fine)
    )


def subband_mask(fine: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """Return a mask that is true where padded high subbands have a coefficient.

    Args:
        fine: shape before the split.
        axes: axes that are split.

    Returns:
        Bool, (2**ndim − 1, *coarse).
    """
    ndim = len(fine)
    (_, coarse) = grid_shapes(fine, (tuple(axes),))
    mask = np.zeros((2**ndim - 1, *coarse), dtype=bool)
    for band in range(1, 2**ndim):
        shape = subband_shape(fine, axes, band)
        if shape is not None:
            mask[(band - 1, *(slice(0, n) for n in shape))] = True
    return mask


def split(
    x: np.ndarray, axes: Sequence[int], *, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Split one level into low (B, 1, *coarse) and high subbands (B, 2**ndim − 1, *coarse).

    Args:
        x: samples, (B, 1, *fine) float32 or float64; the subbands are of the same type. All is
            computed in float64.
        axes: axes to split, in ascending order; each has two samples or more.
        whole: whether every lifting step is rounded to a whole number, exactly in float64.
    """
    return _analysed(x, axes, SPLIT_WHOLE if whole else SPLIT)


def decompose(
    x: np.ndarray, plan: Plan, *, whole: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Decompose samples; return the low and the high subbands of each level, finest first.

    Args:
        x: samples, (B, 1, *shape) float32 or float64.
        plan: axes split at each level, finest first.
        whole: whether every lifting step is rounded to a whole number, exactly in float64.
    """
    lows, highs = [], []
    for axes in plan:
        x, high = split(x, axes, whole=whole)
        lows.append(x)
        highs.append(high)
    return lows, highs


def merge(
    low: np.ndarray,
    high: np.ndarray,
    axes: Sequence[int],
    fine: Sequence[int],
    dtype: Any = np.float64,
) -> np.ndarray:
    """Merge one level, the inverse of `split`, on whole numbers of the fixed-point unit.

    All is computed in float64, some planes of the first axis at a time.

    Args:
        low: low subband, (B, 1, *coarse) whole numbers in float64 or float32.
        high: high subbands, (B, 2**ndim − 1, *coarse) in float64 or float32; padding is not read.
        axes: axes that were split, in ascending order.
        fine: shape before the split.
        dtype: number type of the result, float64 or float32.

    Returns:
        (B, 1, *fine), whole numbers; rounded to the nearest where float32 is too narrow.
    """
    merged = np.empty((len(low), 1, *fine), dtype)
    _transform(MERGE, low, high, merged, axes)
    return merged


def synthesis_adjoint(gradient: np.ndarray, plan: Plan, levels: int) -> list[np.ndarray]:
    """Return the gradients of the high subbands, given the gradient of the merged samples.

    The lifting steps of `merge` are transposed and run backwards, without rounding.

    Args:
        gradient: gradient of the merged samples, (B, 1, *shape) float32 or float64.
        plan: axes split at each level, finest first.
        levels: number of finest levels.

    Returns:
        (B, 2**ndim − 1, *coarse) of each level, finest first; zero in the padding.
    """
    gradients = []
    for axes in plan[:levels]:
        gradient, high = _analysed(gradient, axes, ADJOINT)
        gradients.append(high)
    return gradients


def _analysed(x: np.ndarray, axes: Sequence[int], steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """Return the low subband and all high subbands of samples, zero in the padding."""
    (_, coarse) = grid_shapes(x.shape[2:], (tuple(axes),))
    low = np.empty((len(x), 1, *coarse), x.dtype)
    high = np.zeros((len(x), 2 ** len(coarse) - 1, *coarse), x.dtype)
    _transform(steps, low, high, x, axes)
    return low, high


def _transform(
    steps: Steps, low: np.ndarray, high: np.ndarray, fine: np.ndarray, axes: Sequence[int]
) -> None:
    """Fill ``fine`` from the subbands, or the subbands from ``fine``, as the steps ask."""
    if any(fine.shape[axis + 2] < 2 for axis in axes):
        raise ValueError("an axis of one sample cannot be split")
    library = engine()
    if library is None:
        reference_lifting.transform(steps, low, high, fine, axes)
    else:
        native_lifting.transform(library, steps, low, high, fine, axes, thread_count())
