"""Smoothing of a template until its detail matches the scans.

    template ─ Gaussians ─ octaves of detail minus the octaves of aligned scans ─▶ the nearest

An average loses detail finer than the alignment of its fields. What it holds at that size is noise,
and a misleading prediction of every scan.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Standard deviations of Gaussians in voxels: candidate smoothings, and fine ends of octaves.
_SIGMAS = (0.0, 0.75, 1.5, 3.0)
_OCTAVES = (0.5, 1.0, 2.0)


def smoothed(template: np.ndarray, scans: Sequence[np.ndarray]) -> np.ndarray:
    """Return the template with the smoothing whose detail is nearest to the scans.

    Args:
        template: float32 (*shape).
        scans: (2, *shape) each: grey values on the template's grid, on any scale, 0 outside the
            mask; and the mask, 0 or 1.

    Returns:
        float32 (*shape), the template itself where no smoothing is nearer.
    """
    from scipy import ndimage  # only templates in the making need what it takes to import

    candidates = [ndimage.gaussian_filter(template, sigma) for sigma in _SIGMAS]
    missed = [sum(_missed(candidate, scan) for scan in scans) for candidate in candidates]
    return candidates[int(np.argmin(missed))]


def _missed(template: np.ndarray, scan: np.ndarray) -> float:
    """Return the energy of the detail residual of a scan, relative to the scan's, over octaves.

    Every octave has the same weight, as each costs about the same bits.
    """
    from scipy import ndimage  # only templates in the making need what it takes to import

    values, mask = scan[0], scan[1] > 0
    if not mask.any():
        return 0.0
    spread = float(template[mask].var())
    gain = 0.0
    if spread > 0:
        gain = float(np.cov(values[mask], template[mask], bias=True)[0, 1]) / spread
    total = 0.0
    for sigma in _OCTAVES:
        wanted, given = (
            ndimage.gaussian_filter(image, sigma) - ndimage.gaussian_filter(image, 2 * sigma)
            for image in (values, gain * template)
        )
        energy = float((wanted[mask] ** 2).sum())
        if energy > 0:
            total += float(((wanted - given)[mask] ** 2).sum()) / energy
    return total
