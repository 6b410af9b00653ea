"""What registration minimises (paper, Methods, Eqs. 5 to 8).

    − NCC(scan∘Φ_F, template) − NCC(template∘Φ_B, scan)
    + α mean(det + 1/det − 2), both fields
    + β mean(‖Φ_B∘Φ_F − 1‖² + ‖Φ_F∘Φ_B − 1‖²), in canvas voxels

The determinants are those of the fields alone, relative to the base map, kept within 0.1 and 10.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from deepstd.geometry import resample
from deepstd.shape.alignment import Frame
from deepstd.shape.similarity import correlation
from deepstd.shape.siren import (
    BACKWARD,
    FORWARD,
    Trunk,
    determinants,
    displacements,
    own_displacements,
)

JACOBIAN_WEIGHT = 0.05
CYCLE_WEIGHT = 0.01
_SIMILARITY_PER_REGULARITY = 4


@dataclass(frozen=True, eq=False)
class Sample:
    """Canvas voxels, and what the trunk says there; the first of them serve the regularity terms.

    Attributes:
        voxels: (N,) flat indices.
        x: (N, ndim) field coordinates.
        features: (2, N, W+1).
        slopes: (ndim, 2, n, W) at the first n.
    """

    voxels: Tensor
    x: Tensor
    features: Tensor
    slopes: Tensor


def regularity_points(points: int) -> int:
    """How many of a sample's points serve the Jacobian and cycle terms."""
    return max(1, points // _SIMILARITY_PER_REGULARITY)


def pair_loss(
    trunk: Trunk,
    omega: float,
    heads: Tensor,
    canvases: Tensor,
    template: Tensor,
    frame: Frame,
    sample: Sample,
) -> Tensor:
    """Registration loss of each scan on some canvas voxels.

    Args:
        trunk: hidden layers.
        omega: Ω.
        heads: (2, B, W+1, ndim).
        canvases: (B, 2, *canvas), values and masks.
        template: (1, 1, *canvas).
        frame: of the canvases.
        sample: the voxels.

    Returns:
        (B,).
    """
    x = sample.x
    y = x + displacements(sample.features, heads)
    batch, count = y.shape[1:3]
    at = frame.to_canvas(y)
    scan = resample(canvases, at[FORWARD])
    scan_here = canvases.flatten(2)[:, :, sample.voxels]
    warped = resample(template, at[BACKWARD].reshape(1, batch * count, -1)).reshape(batch, count)
    here = template.flatten()[sample.voxels][None]
    similarity = correlation(scan[:, 0], here, scan[:, 1].detach())
    similarity = similarity + correlation(warped, scan_here[:, 0], scan_here[:, 1])
    few = slice(0, sample.slopes.shape[2])
    jacobian, cycle = irregularity(
        trunk, omega, heads, x[None, None, few], y[:, :, few], sample.slopes, frame.canvas_reach
    )
    return -similarity + JACOBIAN_WEIGHT * jacobian.sum(0) + CYCLE_WEIGHT * cycle.sum(0)


def irregularity(
    trunk: Trunk,
    omega: float,
    heads: Tensor,
    x: Tensor,
    y: Tensor,
    slopes: Tensor,
    reach: Tensor,
) -> tuple[Tensor, Tensor]:
    """The Jacobian term and the squared cycle error of both fields.

    Args:
        trunk: hidden layers.
        omega: Ω.
        heads: (2, B, W+1, ndim).
        x: (2 or 1, B or 1, n, ndim) points.
        y: (2, B, n, ndim) where the fields take them.
        slopes: (ndim, 2, n, W) derivatives of the features there.
        reach: (ndim,) voxels in a unit of field coordinates; the cycle error counts in them.

    Returns:
        (2, B) each: by field, and by the field that leads back.
    """
    det = determinants(slopes, heads).clamp(0.1, 10)
    jacobian = (det + 1 / det - 2).mean(-1)
    start = y.flip(0)
    missed = start + own_displacements(trunk, start, heads, omega) - x.flip(0)
    cycle = ((missed * reach) ** 2).sum(-1).mean(-1)
    return jacobian, cycle
