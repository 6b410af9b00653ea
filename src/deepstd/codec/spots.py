"""Spots: patches of one sign that the warped template leaves, as a lesion does.

residual of the scan ─ sums over fine parts of the template ─ narrow less wide mean ─ squared ─▶ map

Where anatomy differs or the registration errs, residuals of both signs lie side by side, or reach
far. A lesion leaves a compact patch of one sign, which the difference of two means stands out of.
"""

from __future__ import annotations

import numpy as np

from deepstd.codec.fit import Measure, part_of, residual, well_seen
from deepstd.conditioning import Conditioning
from deepstd.windows import smoothed

SPOT = Measure("largest unexplained spot to the usual one there", 1, 0.25)
# Parts of the template along each axis, by the number of axes: 4,096 or 32,768 in all.
_CELLS = {2: 64, 3: 32}
# Widths of the two means in parts. On lesions in crops of the hippocampus, with the limits of its
# validation scans, narrow widths of 0.7, 1 and 2.5 parts found fewer, as did the mean alone.
_NARROW, _WIDE = 1.5, 3.0


def spots(conditioning: Conditioning, values: np.ndarray) -> np.ndarray:
    """Return the squared residual of spots in squared robust ranges of the scan, float64.

    Args:
        conditioning: warped template of the scan, and template coordinates of its voxels.
        values: grey values of the scan.

    Returns:
        Cells of the template, 64 along both axes or 32 along all three; NaN where the scan hardly
        covers it.
    """
    ndim = values.ndim
    grid = (_CELLS[ndim],) * ndim
    parts = part_of(conditioning, values.shape, _CELLS[ndim]).reshape(-1)
    count = int(np.prod(grid))
    left = residual(conditioning, values).reshape(-1)
    sums = np.bincount(parts, left, count).reshape(grid)
    voxels = np.bincount(parts, minlength=count).reshape(grid).astype(float)
    means = []
    for width in (_NARROW, _WIDE):
        weight = smoothed(voxels, width, "constant")
        means.append(smoothed(sums, width, "constant") / np.maximum(weight, 1e-9))
    seen = well_seen(smoothed(voxels, _NARROW, "constant")) & (voxels > 0)
    return np.where(seen, np.square(means[0] - means[1]), np.nan)
