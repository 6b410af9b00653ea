"""Loss of registration, as `deepstd.shape.loss` has it, differentiable by the hidden layers, too.

trunk, heads, canvases, sample ─▶ pair_loss; trunk, heads, points ─▶ irregularity
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from deepstd.resampling import resample
from deepstd.shape.loss import (
    CYCLE_WEIGHT,
    JACOBIAN_WEIGHT,
    LARGEST_DETERMINANT,
    LEAST_DETERMINANT,
)
from deepstd.shape.networks.frame import TensorFrame
from deepstd.shape.networks.similarity import correlation
from deepstd.shape.networks.siren import (
    Trunk,
    determinants,
    displacements,
    own_displacements,
)
from deepstd.shape.siren import BACKWARD, FORWARD


@dataclass(frozen=True, eq=False)
class Sample:
    """Sampled canvas voxels with the trunk's features; the first n serve the regularity terms.

    Attributes:
        voxels: (N,) flat indices.
        x: (N, ndim) field coordinates.
        features: (2, N, W+1), last hidden layer and a constant, by direction.
        slopes: (ndim, 2, n, W), derivatives of the features at the first n voxels.
    """

    voxels: Tensor
    x: Tensor
    features: Tensor
    slopes: Tensor


def pair_loss(
    trunk: Trunk,
    omega: float,
    heads: Tensor,
    canvases: Tensor,
    template: Tensor,
    frame: TensorFrame,
    sample: Sample,
) -> Tensor:
    """Return the registration loss of each scan on sampled canvas voxels.

    Args:
        trunk: hidden layers of both fields.
        omega: frequency factor Ω of the SIREN.
        heads: (2, B, W+1, ndim), output layers of both directions.
        canvases: (B, 2, *canvas), grey values and masks.
        template: (1, 1, *canvas), grey values.
        frame: frame of the canvases.
        sample: voxels to evaluate.

    Returns:
        (B,), differentiable.
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
    """Return the Jacobian term and the squared cycle error of both fields.

    Args:
        trunk: hidden layers of both fields.
        omega: frequency factor Ω of the SIREN.
        heads: (2, B, W+1, ndim), output layers of both directions.
        x: (2 or 1, B or 1, n, ndim), points in field coordinates.
        y: (2, B, n, ndim), the points mapped by each field.
        slopes: (ndim, 2, n, W), derivatives of the features at the points.
        reach: (ndim,), voxels in a unit of field coordinates.

    Returns:
        Two tensors (2, B): the Jacobian term by field, and the mean squared cycle error in voxels,
        by the field that leads back.
    """
    det = determinants(slopes, heads).clamp(LEAST_DETERMINANT, LARGEST_DETERMINANT)
    jacobian = (det + 1 / det - 2).mean(-1)
    start = y.flip(0)
    missed = start + own_displacements(trunk, start, heads, omega) - x.flip(0)
    cycle = ((missed * reach) ** 2).sum(-1).mean(-1)
    return jacobian, cycle
