"""How smooth a template has to be for its detail to be that of scans.

    template ─ Gaussians ─ octaves of detail, less those of scans laid on it ─▶ the nearest of them

What is finer than fields can align, an average does not keep; what it has of that size is noise,
which would be warped to every scan and taken for a hint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

_SIGMAS = (0.0, 0.75, 1.5, 3.0)
_OCTAVES = (0.5, 1.0, 2.0)


def smoothed(template: np.ndarray, scans: Sequence[np.ndarray]) -> np.ndarray:
    """The template, smoothed as far as that brings its detail nearer to the scans'.

    Args:
        template: float32 (*shape).
        scans: (2, *shape) each: values of a scan on the template's grid, on any scale, with 0
            where there are none, and a mask of 0 and 1.

    Returns:
        float32 (*shape), the template itself where no smoother one is nearer.
    """
    candidates = [ndimage.gaussian_filter(template, sigma) for sigma in _SIGMAS]
    missed = [sum(_missed(candidate, scan) for scan in scans) for candidate in candidates]
    return candidates[int(np.argmin(missed))]


def _missed(template: np.ndarray, scan: np.ndarray) -> float:
    """Energy of what a scan's detail has and the template's lacks, each octave in its own terms.

    Every octave counts alike, as it costs about as many bits.
    """
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
