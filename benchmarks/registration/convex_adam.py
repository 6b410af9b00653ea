"""ConvexAdam (Siebert et al. 2021, 2024), written from the papers.

    affine ─ moving on the fixed grid ─ MIND-SSC of both
      ─ block averages ─ cost of every shift by whole blocks ─ coupled convex, there and back
      ─ consistency ─▶ Adam on a finer grid, features against features, diffusion penalty ─▶ Warp

The coupled convex step alternates between the best shift of every block on its own, drawn to a
smooth field ever more strongly, and the smoothing of what was found.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from benchmarks.registration.method import AffineStage
from benchmarks.registration.mind import CHANNELS, mind_ssc
from benchmarks.registration.pairs import Scan
from benchmarks.registration.unet import warp
from benchmarks.registration.warp import Warp, affine_warp, composed, warp_image

_COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_CONSISTENCY_STEPS = 15
_Axes = tuple[int, int, int]


@dataclass(frozen=True)
class ConvexAdam:
    """Settings, in voxels; axes may differ, for thin stacks.

    Attributes:
        affine: the stage before it.
        radius: of MIND's boxes.
        dilation: of MIND's neighbours.
        block: voxels in a block of the convex step.
        reach: blocks that the convex step looks in either direction.
        fine: grid of the Adam step.
        smoothness: weight of the diffusion penalty.
        steps: of Adam.
    """

    affine: AffineStage
    radius: int = 1
    dilation: int = 2
    block: _Axes = (3, 3, 3)
    reach: _Axes = (2, 2, 2)
    fine: _Axes = (2, 2, 2)
    smoothness: float = 0.6
    steps: int = 80
    name: str = "ConvexAdam (own)"

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Affine stage, convex stage, Adam stage."""
        matrix = self.affine.matrix(moving, fixed)
        seen = warp_image(moving.voxels, affine_warp(matrix, fixed.shape).coordinates)
        fine = self.displacement(seen, fixed.voxels)
        full = F.interpolate(fine, size=fixed.shape, mode="trilinear", align_corners=False)
        stored = fine[0].movedim(0, -1).numpy()
        return composed(matrix, full[0].movedim(0, -1).numpy(), stored)

    def displacement(self, moving: np.ndarray, fixed: np.ndarray) -> Tensor:
        """(1, 3, *fine grid): displacement in voxels between images on one grid."""
        features = [
            mind_ssc(torch.from_numpy(image)[None, None], self.radius, self.dilation)
            for image in (moving, fixed)
        ]
        blocks = [_averaged(f, self.block) for f in features]
        there = coupled_convex(blocks[0], blocks[1], self.reach)
        back = coupled_convex(blocks[1], blocks[0], self.reach)
        start = _consistent(there, back) * _column(self.block)
        return self._refined(
            _averaged(features[0], self.fine), _averaged(features[1], self.fine), start
        )

    def _refined(self, moving: Tensor, fixed: Tensor, start: Tensor) -> Tensor:
        start = F.interpolate(start, size=fixed.shape[2:], mode="trilinear", align_corners=False)
        moves = (start / _column(self.fine)).clone().requires_grad_()
        optimiser = torch.optim.Adam([moves], lr=1.0)
        for _ in range(self.steps):
            smooth = _smoothed(moves, times=3)
            unlike = ((warp(moving, smooth) - fixed) ** 2).mean() * CHANNELS
            rough = sum(((torch.diff(smooth, dim=a) ** 2).mean() for a in (2, 3, 4)), start=0.0)
            optimiser.zero_grad()
            (unlike + self.smoothness * rough).backward()
            optimiser.step()
        with torch.no_grad():
            return _smoothed(moves, times=3) * _column(self.fine)


@torch.no_grad()
def coupled_convex(moving: Tensor, fixed: Tensor, reach: Sequence[int]) -> Tensor:
    """Smooth displacement (1, 3, I, J, K), in voxels of these features, that explains them best.

    Args:
        moving: (1, C, I, J, K).
        fixed: of the same shape.
        reach: voxels looked at in either direction along each axis.
    """
    shape = fixed.shape[2:]
    wide = F.pad(moving, [r for axis in reversed(reach) for r in (axis, axis)], mode="replicate")
    shifts = list(itertools.product(*[range(-r, r + 1) for r in reach]))
    costs = fixed.new_empty(len(shifts), *shape)
    for row, shift in enumerate(shifts):
        i, j, k = [slice(r + s, r + s + n) for r, s, n in zip(reach, shift, shape, strict=True)]
        costs[row] = ((wide[:, :, i, j, k] - fixed) ** 2).sum(1)[0]
    costs = F.avg_pool3d(costs[None], 3, 1, 1, count_include_pad=False)[0]
    mesh = torch.tensor(shifts, dtype=fixed.dtype)
    smooth = _smoothed(mesh[costs.argmin(0)].movedim(-1, 0)[None], times=1)
    for weight in _COUPLING:
        pull = costs.clone()
        for axis in range(3):
            pull += weight * (mesh[:, axis, None, None, None] - smooth[0, axis]) ** 2
        smooth = _smoothed(mesh[pull.argmin(0)].movedim(-1, 0)[None], times=1)
    return smooth


@torch.no_grad()
def _consistent(there: Tensor, back: Tensor) -> Tensor:
    """The first of two displacements, made the inverse of the other."""
    for _ in range(_CONSISTENCY_STEPS):
        there, back = (there - warp(back, there)) / 2, (back - warp(there, back)) / 2
    return there


def _averaged(features: Tensor, block: Sequence[int]) -> Tensor:
    return F.avg_pool3d(features, tuple(block), ceil_mode=True, count_include_pad=False)


def _smoothed(displacement: Tensor, times: int) -> Tensor:
    for _ in range(times):
        displacement = F.avg_pool3d(displacement, 3, 1, 1, count_include_pad=False)
    return displacement


def _column(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1, 1)
