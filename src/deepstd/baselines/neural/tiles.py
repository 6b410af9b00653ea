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
_AT_ONCE = 32  # tiles restored at once, which bounds the memory
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
        starts = [[n * self._side + half for n in range(count)] for count in self._counts]
        self._middles = torch.tensor(list(itertools.product(*starts)), dtype=torch.float32)
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

    def restored(self, centres: Tensor, factors: Tensor, amplitudes: Tensor) -> np.ndarray:
        """Return the sums of Gaussians over the whole frame."""
        parts = []
        for tiles in torch.arange(self.count).split(_AT_ONCE):
            near = self.near(centres, factors, tiles)
            parts.append(self.sums(centres, factors, amplitudes, tiles, near))
        return self._joined(torch.cat(parts))

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self._middles)

    def near(self, centres: Tensor, factors: Tensor, tiles: Tensor) -> Tensor:
        """Return the numbers of the Gaussians that reach tiles, (T, K); filled up with N.

        Args:
            centres: (N, d) in voxels.
            factors: (N, d, d) Cholesky factors of the inverse covariances.
            tiles: numbers of the tiles, (T,).
        """
        inverse = torch.linalg.solve_triangular(
            factors, torch.eye(len(self._shape)).expand_as(factors), upper=False
        )
        reach = _REACH * inverse.square().sum(1).sqrt() + self._side / 2
        near = torch.ones(len(tiles), len(centres), dtype=torch.bool)
        for axis, middles in enumerate(self._middles[tiles].T):  # one by one, for less memory
            near &= (middles[:, None] - centres[:, axis]).abs() <= reach[:, axis]
        rows, numbers = near.nonzero(as_tuple=True)
        counts = near.sum(1)
        places = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        listed = torch.full((len(tiles), max(1, int(counts.max()))), len(centres))
        listed[rows, places] = numbers
        return listed

    def sums(
        self,
        centres: Tensor,
        factors: Tensor,
        amplitudes: Tensor,
        tiles: Tensor,
        near: Tensor,
        chosen: Tensor | slice = slice(None),
    ) -> Tensor:
        """Return the sums of Gaussians at voxels of tiles, (T, P).

        Args:
            centres, factors: as in `near`.
            amplitudes: (N,).
            tiles, near: numbers of the tiles and of the Gaussians that reach them.
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
        centre = listed[..., axes * axes : -1] - self._middles[tiles, None]
        pulled = (shape * centre[..., None, :]).sum(-1)
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

    def _joined(self, values: Tensor) -> np.ndarray:
        """Return the frame of the voxels of tiles (T, P)."""
        axes = len(self._shape)
        parts = values.numpy().reshape(*self._counts, *[self._side] * axes)
        order = [axis + offset for axis in range(axes) for offset in (0, axes)]
        whole = parts.transpose(order).reshape([n * self._side for n in self._counts])
        return whole[tuple(slice(0, length) for length in self._shape)]
