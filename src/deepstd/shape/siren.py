"""Pairs of SIREN deformation fields with hidden layers that all scans of a bundle share.

    q (2, N, ndim) ─▶ sin Ω(qW₁+b₁) ─▶ sin Ω(hW₂+b₂) ─▶ features φ (2, N, W+1)
    φ, heads (2, B, W+1, ndim) ─▶ displacement u (2, B, ndim, N)        Φ(q) = q + u(q)

Axis 0 is the direction: `FORWARD` leads from the template to the scan, `BACKWARD` from the scan
to the template (paper, Methods, "Cycle-INR based shape registration"). Both directions share the
coordinates q: 0 is the template's centre, and one unit is half its longest extent along every axis.
The last feature is the constant 1, so a head's last row is its bias. Trained layers are constants
here: `shape.networks` trains them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd.shape.products import product

FORWARD, BACKWARD = 0, 1


@dataclass(frozen=True, eq=False)
class Trunk:
    """Hidden layers of both fields, and the border of their coordinates, all float32.

    Attributes:
        weight1: (2, ndim, W); bias1: (2, 1, W).
        weight2: (2, W, W); bias2: (2, 1, W).
        limit: (ndim,) largest coordinate; a field is constant beyond it.
    """

    weight1: np.ndarray
    bias1: np.ndarray
    weight2: np.ndarray
    bias2: np.ndarray
    limit: np.ndarray

    def at(self, omega: float) -> Layers:
        """Return the layers at a frequency factor Ω."""
        factor = np.float32(omega)
        hidden = (self.weight1, self.bias1, self.weight2, self.bias2)
        return Layers(*(factor * values for values in hidden), limit=self.limit)


@dataclass(frozen=True, eq=False)
class Layers:
    """Hidden layers of both fields with Ω multiplied into them; attributes as of `Trunk`."""

    weight1: np.ndarray
    bias1: np.ndarray
    weight2: np.ndarray
    bias2: np.ndarray
    limit: np.ndarray

    def features_and_slopes(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features, and their derivatives by each axis.

        Args:
            q: (2 or 1, N, ndim), field coordinates.

        Returns:
            (2, N, W+1), and (ndim, 2, N, W) without the constant feature.
        """
        z1 = self._first(q)
        z2 = product(np.sin(z1), self.weight2)
        z2 += self.bias2
        cos1, cos2 = np.cos(z1, out=z1), np.cos(z2)
        inside = np.abs(q) < self.limit
        slopes = np.empty((q.shape[-1], *z2.shape), np.float32)
        for axis in range(len(slopes)):
            # The border stops a field: it is constant along an axis beyond it.
            first = cos1 * self.weight1[:, axis, None] * inside[..., axis, None]
            slopes[axis] = product(first, self.weight2)
        slopes *= cos2
        return _with_constant(np.sin(z2)), slopes

    def _first(self, q: np.ndarray) -> np.ndarray:
        z1 = product(q.clip(-self.limit, self.limit), self.weight1)
        z1 += self.bias1
        return z1


def displacements(features: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Return the displacement of every scan at shared points.

    Args:
        features: (2, N, W), last hidden layer; or (2, N, W+1), with the constant.
        heads: (2, B, ndim, W or W+1), output layers without or with biases.

    Returns:
        (2, B, ndim, N) in field coordinates.
    """
    return product(heads, features.swapaxes(-1, -2)[:, None])


def jacobians(slopes: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Return the columns of the Jacobian matrix of Φ, (ndim, 2, B, ndim, N).

    Args:
        slopes: (ndim, 2, N, W), derivatives of the features by each axis.
        heads: (2, B, ndim, W+1), output layers.

    Returns:
        Derivatives of Φ by each axis, the first.
    """
    columns = product(heads[None, ..., :-1], slopes.swapaxes(-1, -2)[:, :, None])
    for axis, column in enumerate(columns):
        column[:, :, axis] += 1
    return columns


def determinants(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the determinants of Jacobian matrices, and their derivatives by the entries.

    Args:
        columns: (ndim, 2, B, ndim, N), as of `jacobians`.

    Returns:
        (2, B, N), and cofactors of the shape of the columns.
    """
    if len(columns) == 2:
        cofactors = columns[::-1, :, :, ::-1].copy()
        cofactors[0, :, :, 1] *= -1
        cofactors[1, :, :, 0] *= -1
    else:
        around = (0, 1, 2, 0, 1)
        twice = columns[around, ...][:, :, :, around]
        cofactors = twice[1:4, :, :, 1:4] * twice[2:5, :, :, 2:5]
        cofactors -= twice[1:4, :, :, 2:5] * twice[2:5, :, :, 1:4]
    return (columns[0] * cofactors[0]).sum(-2), cofactors


def _with_constant(hidden: np.ndarray) -> np.ndarray:
    features = np.empty((*hidden.shape[:-1], hidden.shape[-1] + 1), np.float32)
    features[..., :-1] = hidden
    features[..., -1] = 1
    return features
