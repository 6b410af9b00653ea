"""Loss of registration (paper, Methods, Eqs. 5 to 8), and its derivative by the heads.

    − NCC(scan∘Φ_F, template) − NCC(template∘Φ_B, scan)
    + α mean(det + 1/det − 2), both fields
    + β mean(‖Φ_B∘Φ_F − 1‖² + ‖Φ_F∘Φ_B − 1‖²), in canvas voxels

det is the Jacobian determinant of a field relative to the base map, clamped to 0.1 … 10. The hidden
layers are fixed. `shape.networks.loss` differentiates by them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deepstd.shape.alignment import Frame
from deepstd.shape.products import product
from deepstd.shape.sampling import Lattice, extended, interpolated, interpolated_with_slopes
from deepstd.shape.similarity import correlation_and_slope
from deepstd.shape.siren import Layers, determinants, displacements, jacobians

JACOBIAN_WEIGHT = 0.05
"""Weight α of the Jacobian term."""

CYCLE_WEIGHT = 0.01
"""Weight β of the squared cycle error."""

LEAST_DETERMINANT, LARGEST_DETERMINANT = 0.1, 10.0
_SIMILARITY_PER_REGULARITY = 4  # points of the similarity terms for each regularity point


@dataclass(frozen=True, eq=False)
class Sample:
    """Sampled canvas voxels with features and values; the first n serve the regularity terms.

    Attributes:
        x: (ndim, N) field coordinates.
        features: (2, N, W+1), last hidden layer and a constant, by direction.
        slopes: (ndim, 2, n, W), derivatives of the features at the first n voxels.
        template: (1, N), grey values of the template.
        scans: (B, N), grey values of the scans.
        masks: (B, N), masks of the scans.
    """

    x: np.ndarray
    features: np.ndarray
    slopes: np.ndarray
    template: np.ndarray
    scans: np.ndarray
    masks: np.ndarray


class Sampled(NamedTuple):
    """Images where the fields lead.

    Attributes:
        values: (2, B, N) grey values of the scans at Φ_F, and of the template at Φ_B.
        slopes: (2, B, ndim, N) their derivatives by the points in canvas voxels.
        masks: (B, N) masks of the scans at Φ_F.
    """

    values: np.ndarray
    slopes: np.ndarray
    masks: np.ndarray


class Images:
    """Scans and template, ready to be sampled.

    Args:
        canvases: (B, 2, *canvas), grey values and masks.
        template: (*canvas), grey values.
        frame: frame of the canvases.
    """

    def __init__(self, canvases: np.ndarray, template: np.ndarray, frame: Frame) -> None:
        batch = len(canvases)
        self.reach = frame.canvas_reach[:, None]
        self._centre = frame.canvas_centre[:, None]
        self._lattice = Lattice(template.shape)
        grey = np.concatenate([canvases[:, 0], template[None]])
        self._grey = extended(grey, edge=True).reshape(-1)
        self._masks = extended(canvases[:, 1], edge=True).reshape(-1)
        # The forward field maps to each scan, the backward field to the template.
        self._image = np.stack([np.arange(batch), np.full(batch, batch)])[..., None]

    def sample(self, y: np.ndarray) -> Sampled:
        """Interpolate each scan where Φ_F leads, and the template where Φ_B leads.

        Args:
            y: (2, B, ndim, N) mapped points in field coordinates.
        """
        fields, batch, ndim, count = y.shape
        canvas = (self._centre + self.reach * y).swapaxes(0, 2).swapaxes(1, 2)
        base, parts = self._lattice.cells(canvas.reshape(ndim, -1))
        base = base.reshape(fields, batch, count)
        own = (base + self._image * self._lattice.voxels).reshape(-1)
        corners = self._lattice.corners(self._grey, own)
        values, slopes = interpolated_with_slopes(corners, parts)
        masks = self._lattice.corners(self._masks, own[: batch * count])
        masks = interpolated(masks, parts[:, : batch * count])
        return Sampled(
            values.reshape(fields, batch, count),
            slopes.reshape(ndim, fields, batch, count).transpose(1, 2, 0, 3),
            masks.reshape(batch, count),
        )


def regularity_points(points: int) -> int:
    """Return the number of a sample's points in the Jacobian and cycle terms."""
    return max(1, points // _SIMILARITY_PER_REGULARITY)


def pair_loss(
    layers: Layers, heads: np.ndarray, images: Images, sample: Sample
) -> tuple[np.ndarray, np.ndarray]:
    """Return the registration loss of each scan on sampled canvas voxels, and its derivative.

    Args:
        layers: hidden layers of both fields.
        heads: (2, B, ndim, W+1), output layers of both directions.
        images: scans and template.
        sample: voxels to evaluate.

    Returns:
        (B,), and the derivative of the sum by the heads, (2, B, ndim, W+1).
    """
    y = displacements(sample.features, heads)
    y += sample.x
    (scan, warped), slopes, masks = images.sample(y)
    forward, forward_slope = correlation_and_slope(scan, sample.template, masks)
    backward, backward_slope = correlation_and_slope(warped, sample.scans, sample.masks)
    by_y = slopes * -images.reach
    by_y *= np.stack([forward_slope, backward_slope])[:, :, None]
    few = sample.slopes.shape[2]
    jacobian, by_heads = _jacobian_term(heads, sample.slopes)
    cycle, by_start, by_cycle = _cycle_term(
        layers, heads, sample.x[:, :few], y[..., :few], images.reach
    )
    by_heads += by_cycle
    by_y[..., :few] += by_start
    by_heads += product(by_y, sample.features[:, None])
    return jacobian + cycle - forward - backward, by_heads


def _jacobian_term(heads: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return α mean(det + 1/det − 2) of both fields, (B,), and its derivative by the heads."""
    columns = jacobians(slopes, heads)
    raw, cofactors = determinants(columns)
    det = raw.clip(LEAST_DETERMINANT, LARGEST_DETERMINANT)
    inverse = 1 / det
    weight = JACOBIAN_WEIGHT / det.shape[-1]
    term = weight * (det + inverse - 2).sum((0, 2))
    by_det = weight * (1 - inverse * inverse) * (det == raw)
    cofactors *= by_det[:, :, None]
    by_heads = np.zeros_like(heads)
    for by_column, slope in zip(cofactors, slopes, strict=True):
        by_heads[..., :-1] += product(by_column, slope[:, None])
    return term, by_heads


def _cycle_term(
    layers: Layers, heads: np.ndarray, x: np.ndarray, y: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cycle term of both fields, and its derivatives.

    Args:
        layers: hidden layers of both fields.
        heads: (2, B, ndim, W+1), output layers.
        x: (ndim, n), points in field coordinates.
        y: (2, B, ndim, n), the points mapped by each field.
        reach: (ndim, 1), canvas voxels in a unit of field coordinates.

    Returns:
        (B,), and the derivatives of the sum by ``y`` and, where ``y`` is held, by the heads.
    """
    there = round_trip(layers, heads, x, y)
    missed = there.missed
    missed *= reach
    count = x.shape[-1]
    term = CYCLE_WEIGHT / count * np.einsum("fban,fban->b", missed, missed)
    missed *= 2 * CYCLE_WEIGHT / count * reach
    by_heads = np.empty_like(heads)
    by_heads[..., :-1] = product(missed, there.h2.swapaxes(-1, -2))
    by_heads[..., -1] = missed.sum(-1)
    by_hidden = product(heads[..., :-1].swapaxes(-1, -2), missed)
    by_hidden *= np.cos(there.z2)
    by_hidden = product(layers.weight2[:, None], by_hidden)
    by_hidden *= np.cos(there.z1)
    by_start = product(layers.weight1[:, None], by_hidden)
    by_start *= there.moving
    by_start += missed
    return term, by_start[::-1], by_heads


class RoundTrip(NamedTuple):
    """Points mapped by one field and back by the other.

    Attributes:
        missed: (2, B, ndim, n), distance from the start, by the field that leads back.
        z1: (2, B, W, n), phases of the first hidden layer where the other field led.
        h2: (2, B, W, n), second hidden layer, and z2, its phases.
        moving: (2, B, ndim, n) bool, False beyond the border of the coordinates.
    """

    missed: np.ndarray
    z1: np.ndarray
    z2: np.ndarray
    h2: np.ndarray
    moving: np.ndarray


def round_trip(layers: Layers, heads: np.ndarray, x: np.ndarray, y: np.ndarray) -> RoundTrip:
    """Map points back by the other field.

    Args:
        layers: hidden layers of both fields.
        heads: (2, B, ndim, W+1), output layers.
        x: (ndim, n), points in field coordinates.
        y: (2, B, ndim, n), the points mapped by each field.
    """
    start = y[::-1]  # each field leads back from where the other one led
    limit = layers.limit[:, None]
    inside = start.clip(-limit, limit)
    z1 = product(_transposed(layers.weight1), inside)
    z1 += _transposed(layers.bias1)
    z2 = product(_transposed(layers.weight2), np.sin(z1))
    z2 += _transposed(layers.bias2)
    h2 = np.sin(z2)
    missed = product(heads[..., :-1], h2)
    missed += heads[..., -1:]
    missed += start
    missed -= x
    return RoundTrip(missed, z1, z2, h2, inside == start)


def _transposed(values: np.ndarray) -> np.ndarray:
    return values.swapaxes(-1, -2)[:, None]
