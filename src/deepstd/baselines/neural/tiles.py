"""Sums of Gaussians over the tiles of a frame, each of the Gaussians that reach it.

    centres, factors ─ bounding boxes ─▶ Gaussians near each tile (T, K)
    coefficients of their quadratic forms ─ monomials of the tile's voxels ─ exp ─▶ sums (T, P)

Coordinates are relative to the middle of a tile, so that all tiles share the monomials.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

_SIDES = (64, 16, 8)  # voxels of a tile, by the number of axes
_REACH = 3.3  # standard deviations beyond which a Gaussian does not count


class Tiles:
    """Tiles of a frame in raster order.

    Args:
        shape: shape of the frame, 1 to 3 axes.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._side = _SIDES[len(shape) - 1]
        self._counts = [-(-length // self._side) for length in shape]
        half = (self._side - 1) / 2
        self._middles = torch.tensor(
            list(itertools.product(*[[n * self._side + half for n in range(m)] for m in self._counts])),
            dtype=torch.float32,
        )
        line = torch.arange(self._side, dtype=torch.float32) - half
        grid = torch.stack(torch.meshgrid(*[line] * len(shape), indexing="ij"), -1)
        self._points = grid.reshape(-1, len(shape))

    def split(self, frame: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the voxels of each tile (T, P), and 1 where they are inside of the frame."""
        missing = [n * self._side - m for n, m in zip(self._counts, self._shape, strict=True)]
        padded = [
            np.pad(part, [(0, n) for n in missing])
            for part in (frame, np.ones(self._shape, np.float32))
        ]
        values, inside = (torch.from_numpy(self._in_tiles(part)) for part in padded)
        return values, inside

    def joined(self, values: Tensor) -> np.ndarray:
        """Return the frame of the voxels of tiles (T, P)."""
        axes = len(self._shape)
        parts = values.numpy().reshape(*self._counts, *[self._side] * axes)
        order = [axis + offset for axis in range(axes) for offset in (0, axes)]
        whole = parts.transpose(order).reshape([n * self._side for n in self._counts])
        return whole[tuple(slice(0, length) for length in self._shape)]

    def near(self, centres: Tensor, factors: Tensor) -> Tensor:
        """Return the numbers of the Gaussians that reach each tile, (T, K); filled up with N.

        Args:
            centres: (N, d) in voxels.
            factors: (N, d, d) Cholesky factors of the inverse covariances.
        """
        inverse = torch.linalg.solve_triangular(
            factors, torch.eye(len(self._shape)).expand_as(factors), upper=False
        )
        reach = _REACH * inverse.square().sum(1).sqrt() + self._side / 2
        near = ((self._middles[:, None] - centres).abs() <= reach).all(-1)
        most = max(1, int(near.sum(1).max()))
        order = torch.argsort(near.to(torch.uint8), dim=1, descending=True, stable=True)[:, :most]
        return torch.where(near.gather(1, order), order, len(centres))

    def sums(
        self,
        centres: Tensor,
        factors: Tensor,
        amplitudes: Tensor,
        near: Tensor,
        chosen: Tensor | slice = slice(None),
    ) -> Tensor:
        """Return the sums of Gaussians at the voxels of each tile, (T, P).

        Args:
            centres, factors: as in `near`.
            amplitudes: (N,).
            near: numbers of the Gaussians that reach each tile, (T, K).
            chosen: voxels of a tile that count.
        """
        axes = len(self._shape)
        rows, columns = torch.triu_indices(axes, axes)
        points = self._points[chosen]
        twice = torch.where(rows == columns, 1.0, 2.0)
        monomials = torch.cat(
            [torch.ones(len(points), 1), points, points[:, rows] * points[:, columns] * twice], 1
        )
        # A Gaussian of amplitude 0 fills the lists up.
        shape = factors @ factors.transpose(1, 2)
        rest = torch.cat([shape.reshape(-1, axes * axes), centres, amplitudes[:, None]], 1)
        listed = torch.cat([rest, torch.zeros(1, rest.shape[1])])[near]
        shape = listed[..., : axes * axes].unflatten(-1, (axes, axes))
        centre = listed[..., axes * axes : -1] - self._middles[:, None]
        pulled = (shape @ centre[..., None])[..., 0]
        constant = (pulled * centre).sum(-1, keepdim=True)
        squares = shape.flatten(-2)[..., rows * axes + columns]
        form = torch.cat([constant, -2 * pulled, squares], -1).transpose(1, 2) * -0.5
        weights = torch.exp(torch.matmul(monomials, form))
        return torch.bmm(weights, listed[..., -1:])[..., 0]

    def _in_tiles(self, padded: np.ndarray) -> np.ndarray:
        sides = [n for count in self._counts for n in (count, self._side)]
        axes = len(self._shape)
        order = [*range(0, 2 * axes, 2), *range(1, 2 * axes, 2)]
        tiles = padded.reshape(sides).transpose(order).reshape(math.prod(self._counts), -1)
        return np.ascontiguousarray(tiles, np.float32)
