"""Peaks for PSNR, and the Bjøntegaard distances between rate-distortion curves.

    original ─▶ range_peak · percentile_peak ─▶ deepstd.quality.psnr(…, peak=…)
    (rate, PSNR) points of two codecs ─ PCHIP over log rate ─▶ bd_rate (%), bd_psnr (dB)

Tables name their peak: ``range`` is max − min of the original; ``p0.5-99.5`` is the distance
between its 0.5 and 99.5 percentiles, which does not depend on a few bright vessels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deepstd.errors import InputError
from deepstd.quality import finite_range


def range_peak(original: np.ndarray) -> float:
    """Return max − min of the finite voxels (``range``)."""
    low, high = finite_range(original)
    return high - low


def percentile_peak(original: np.ndarray, low: float = 0.5, high: float = 99.5) -> float:
    """Return the distance between two percentiles of the finite voxels (``p0.5-99.5``).

    NaN where no voxel is finite.
    """
    finite = original[np.isfinite(original)]
    if not finite.size:
        return math.nan
    below, above = np.percentile(finite, [low, high])
    return float(above) - float(below)


def bd_rate(
    reference_rates: Sequence[float],
    reference_psnrs: Sequence[float],
    rates: Sequence[float],
    psnrs: Sequence[float],
) -> float:
    """Return the mean difference in rate at equal PSNR, in percent; negative is better.

    Both curves are interpolated by monotone cubics (PCHIP), log rate over PSNR, and compared over
    their common PSNRs (Bjøntegaard, VCEG-M33, with the interpolation of JCTVC-H0030).

    Args:
        reference_rates: sizes of the reference codec, in any unit; at least two.
        reference_psnrs: PSNRs of the reference codec in dB, one for each size.
        rates: sizes of the tested codec, in the same unit.
        psnrs: PSNRs of the tested codec in dB, one for each size.

    Raises:
        InputError: fewer than two distinct points, a size that is not positive, a PSNR that falls
            while the size grows, or curves that do not overlap.
    """
    reference_sizes, reference_quality = _curve(reference_rates, reference_psnrs)
    sizes, quality = _curve(rates, psnrs)
    difference = _mean_difference((reference_quality, reference_sizes), (quality, sizes))
    return 100.0 * math.expm1(difference)


def bd_psnr(
    reference_rates: Sequence[float],
    reference_psnrs: Sequence[float],
    rates: Sequence[float],
    psnrs: Sequence[float],
) -> float:
    """Return the mean difference in PSNR at equal rate, in dB; positive is better.

    Both curves are interpolated by monotone cubics (PCHIP), PSNR over log rate, and compared over
    their common rates.

    Args:
        reference_rates: sizes of the reference codec, in any unit; at least two.
        reference_psnrs: PSNRs of the reference codec in dB, one for each size.
        rates: sizes of the tested codec, in the same unit.
        psnrs: PSNRs of the tested codec in dB, one for each size.

    Raises:
        InputError: fewer than two distinct points, a size that is not positive, a PSNR that falls
            while the size grows, or curves that do not overlap.
    """
    return _mean_difference(_curve(reference_rates, reference_psnrs), _curve(rates, psnrs))


def _curve(rates: Sequence[float], psnrs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return log rates and PSNRs in ascending order."""
    size, quality = np.asarray(rates, np.float64), np.asarray(psnrs, np.float64)
    if size.shape != quality.shape or size.ndim != 1 or len(size) < 2:
        raise InputError(
            f"a rate-distortion curve needs at least two sizes and as many PSNRs, got "
            f"{size.shape} and {quality.shape}"
        )
    if not (size > 0).all() or not np.isfinite(quality).all():
        raise InputError("a rate-distortion curve needs positive sizes and finite PSNRs")
    order = np.argsort(size)
    size, quality = np.log(size[order]), quality[order]
    if not ((np.diff(size) > 0).all() and (np.diff(quality) > 0).all()):
        raise InputError("the PSNR of a rate-distortion curve must grow with its size")
    return size, quality


def _mean_difference(
    reference: tuple[np.ndarray, np.ndarray], tested: tuple[np.ndarray, np.ndarray]
) -> float:
    """Return the mean of tested − reference over the overlap of their abscissae."""
    low = max(reference[0][0], tested[0][0])
    high = min(reference[0][-1], tested[0][-1])
    if not low < high:
        raise InputError("the two rate-distortion curves do not overlap; add sizes to one of them")
    from scipy.interpolate import PchipInterpolator  # slow to import: refusals do without it

    areas = [float(PchipInterpolator(*curve).integrate(low, high)) for curve in (reference, tested)]
    return (areas[1] - areas[0]) / float(high - low)
