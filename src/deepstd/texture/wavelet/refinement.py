"""Refinement of quantisation targets: less error of the restored scan for the same bytes.

    reconstruction ─ post-filter ─ error ─ gradient ─ adjoint of the wavelet ─▶ gradient of each
    coefficient ─ less its own error ─▶ correction of the quantisation target ─ encode again …

The quantiser weighs the squared error of each coefficient, as in an orthonormal transform without
a filter. The wavelet is not exactly orthonormal, and the post-filter removes a part of the error.
Where the gradient of the true error differs from the gradient of the coefficient's own error, the
target moves by the difference. This is a proximal gradient step with the quantiser as the proximal
operator. The file format and the decoder do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepstd.texture.filters.postfilter import NoFilter, PostFilter
from deepstd.texture.tiling import FILTER_TILES, TileEdges, tiles
from deepstd.texture.wavelet.lifting import Plan, synthesis_adjoint

LEVELS = 4
"""Number of refined levels; coarser levels hold few bytes and need smaller corrections."""
DAMPING = 0.3
"""Weight of the new correction in the mean with the correction before."""


def corrected(
    corrections: Sequence[np.ndarray],
    errors: Sequence[np.ndarray],
    gradient: np.ndarray,
    plan: Plan,
) -> list[np.ndarray]:
    """Return the corrections of the quantisation targets for the next encoding.

    Args:
        corrections: corrections of the latest encoding in steps, (1, bands, *coarse) a level.
        errors: decoded less true coefficients of the latest encoding in steps, of equal shapes.
        gradient: gradient of the squared error (squared steps) by the reconstruction (steps),
            (1, 1, *shape).
        plan: axes split at each level, finest first.
    """
    gradients = synthesis_adjoint(gradient, plan, len(errors))
    return [
        correction + np.float32(DAMPING) * (error - np.float32(0.5) * slope - correction)
        for correction, error, slope in zip(corrections, errors, gradients, strict=True)
    ]


def restoration_gradient(
    postfilter: PostFilter | NoFilter,
    low: np.ndarray,
    template: np.ndarray | None,
    condition: np.ndarray,
    truth: np.ndarray,
    edges: TileEdges = FILTER_TILES,
) -> tuple[float, np.ndarray]:
    """Return the squared error after the post-filter and its gradient, computed tile by tile.

    Args:
        postfilter: the filter.
        low: reconstruction in 1/64 step, (1, 1, *shape).
        template: predicted values in 1/64 step, (1, 1, *shape), or None.
        condition: condition vector of the filter, (1, conditions, 1 …).
        truth: true values in steps, (1, 1, *shape).
        edges: edges of the tiles.

    Returns:
        Sum over voxels in squared steps, and its gradient by the reconstruction in steps (float32).
    """
    total = 0.0
    gradient = np.zeros(low.shape, np.float32)
    for tile in tiles(low.shape[2:], postfilter.halo, edges):
        part = None if template is None else template[tile.window]
        error, found = postfilter.gradient(
            low[tile.window], part, condition, truth[tile.window], tile.inner
        )
        gradient[tile.window] += found
        total += error
    return total, gradient
