"""Coefficients to aim at so that the restored scan errs less for the same bytes.

    reconstruction ─ post-filter ─ error ─ gradient ─ adjoint of the wavelet ─▶ gradient of each
    coefficient ─ less its own error ─▶ correction of what the quantiser aims at ─ encode again …

The quantiser weighs a coefficient's own squared error, as if subbands were orthonormal and nothing
followed them. The wavelet is not quite, and the post-filter mends a part of the error. Where the
gradient of the true error differs from that of the coefficient's own, its target moves by the
difference: a proximal gradient step with the quantiser as the proximal operator. The file's format
and the decoder know nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.filters.postfilter import Filter
from deepstd.texture.tiling import tiles
from deepstd.texture.wavelet.lifting import Plan, synthesis_adjoint

# Coarser levels hold few bytes, and their steps would have to be shorter.
LEVELS = 4
DAMPING = 0.3


def corrected(
    corrections: Sequence[torch.Tensor],
    errors: Sequence[torch.Tensor],
    gradient: torch.Tensor,
    plan: Plan,
) -> list[torch.Tensor]:
    """Corrections for the next encoding.

    Args:
        corrections: of the latest encoding, in steps, (1, bands, *coarse) of each level.
        errors: decoded less true coefficients of the latest encoding, likewise.
        gradient: of the squared error in steps with respect to the reconstruction in steps.
        plan: axes split at each level, finest first.
    """
    gradients = synthesis_adjoint(gradient, plan, len(errors))
    return [
        torch.lerp(correction, error - 0.5 * slope, DAMPING)
        for correction, error, slope in zip(corrections, errors, gradients, strict=True)
    ]


def restoration_gradient(
    postfilter: Filter,
    low: torch.Tensor,
    template: torch.Tensor | None,
    condition: torch.Tensor,
    truth: torch.Tensor,
) -> tuple[float, torch.Tensor]:
    """Squared error after the post-filter, and its gradient, tile by tile.

    Args:
        postfilter: the filter.
        low: reconstruction in units, (1, 1, *shape).
        template: warped template in units, or None.
        condition: (1, conditions, 1 …).
        truth: true values in steps, (1, 1, *shape).

    Returns:
        Sum over voxels in squared steps; gradient for the reconstruction in steps, float32.
    """
    total = 0.0
    gradient = torch.zeros(low.shape, dtype=torch.float32, device=low.device)
    for tile in tiles(low.shape[2:], postfilter.halo):
        part = None if template is None else template[tile.window]
        with torch.enable_grad():
            values = low[tile.window].float().requires_grad_()
            restored = postfilter(values, part, condition.to(low.device))[(..., *tile.inner)]
            error = (restored - truth[(..., *tile.outer)]).square().sum()
            (found,) = torch.autograd.grad(error, values)
        gradient[tile.window] += found * UNITS_PER_STEP
        total += float(error.detach())
    return total, gradient
