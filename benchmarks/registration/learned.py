"""VoxelMorph and CycleMorph: networks that predict a displacement, trained here by the clock.

    training scans ─ affine to one of them ─ half-resolution canvases ─ random pairs ─▶ weights
    moving, fixed ─ affine ─ canvases of the fixed grid ─ UNet ─▶ displacement ─▶ Warp

VoxelMorph (Balakrishnan et al. 2019): one network for a velocity field, local correlation and a
diffusion penalty. CycleMorph (Kim et al. 2021): two networks, one for each direction, tied by cycle
and identity terms. Weights are written where the caller says, never into the project.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import ndimage
from torch import Tensor

from benchmarks.registration.method import AffineStage
from benchmarks.registration.pairs import Scan
from benchmarks.registration.unet import UNet, exponential, local_correlation, roughness, warp
from benchmarks.registration.warp import Warp, composed, grid, transformed

Kind = Literal["VoxelMorph", "CycleMorph"]
KINDS: tuple[Kind, ...] = ("VoxelMorph", "CycleMorph")

logger = logging.getLogger(__name__)

_SMOOTH_VELOCITY, _SMOOTH_CYCLE, _CYCLE, _IDENTITY = 1.0, 1.0, 0.1, 0.5
_RATE = 5e-4
_SAID_EVERY = 100


@dataclass(frozen=True)
class Canvas:
    """The box that a network sees, about the centre of a scan.

    Attributes:
        shape: in voxels of the scan, a multiple of 8 times ``factors`` where it is halved.
        factors: voxels averaged along each axis; 1 along thin axes.
        window: of the local correlation, in averaged voxels.
    """

    shape: tuple[int, int, int]
    factors: tuple[int, int, int]
    window: tuple[int, int, int]

    def offset(self, shape: Sequence[int]) -> np.ndarray:
        """Scan voxel of the box's first voxel."""
        return (np.array(shape) - np.array(self.shape)) // 2

    def image(self, scan: Scan, matrix: np.ndarray, shape: Sequence[int]) -> Tensor:
        """(1, 1, *small): a scan seen through a map from the voxels of a grid to its own."""
        places = transformed(matrix, grid(self.shape) + self.offset(shape))
        values = ndimage.map_coordinates(
            scan.voxels, np.moveaxis(places, -1, 0), order=1, mode="nearest"
        )
        pooled = F.avg_pool3d(torch.from_numpy(values.astype(np.float32))[None, None], self.factors)
        return pooled.clamp(0, 1)

    def spread(self, displacement: Tensor, shape: Sequence[int]) -> np.ndarray:
        """(3, *small) in averaged voxels -> (*shape, 3) in voxels; outside as at the border."""
        factors = np.array(self.factors)
        places = (grid(shape) - self.offset(shape) - (factors - 1) / 2) / factors
        places = np.moveaxis(places, -1, 0)
        return np.stack(
            [
                factor * ndimage.map_coordinates(u, places, order=1, mode="nearest")
                for u, factor in zip(displacement.numpy(), self.factors, strict=True)
            ],
            -1,
        )


CANVASES = {
    "hippocampus": Canvas((48, 64, 48), (2, 2, 2), (5, 5, 5)),
    "cardiac": Canvas((160, 160, 12), (2, 2, 1), (5, 5, 3)),
}


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network behind an affine stage.

    Attributes:
        kind: which of the two.
        canvas: what it sees.
        network: moving, fixed -> displacement or velocity.
        affine: the stage before it.
    """

    kind: Kind
    canvas: Canvas
    network: UNet
    affine: AffineStage

    @property
    def name(self) -> str:
        """In tables."""
        return f"{self.kind} (own)"

    @torch.no_grad()
    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Affine stage and one pass of the network."""
        matrix = self.affine.matrix(moving, fixed)
        seen = self.canvas.image(moving, matrix, fixed.shape)
        target = self.canvas.image(fixed, np.eye(4), fixed.shape)
        u = self.network(seen, target)
        u = (exponential(u) if self.kind == "VoxelMorph" else u)[0]
        stored = u.movedim(0, -1).numpy() * np.array(self.canvas.factors)
        return composed(matrix, self.canvas.spread(u, fixed.shape), stored)


def training_images(scans: Sequence[Scan], canvas: Canvas, affine: AffineStage) -> Tensor:
    """(N, 1, *small): every scan laid on the first by the affine stage."""
    first = scans[0]
    images = [canvas.image(first, np.eye(4), first.shape)]
    images += [canvas.image(s, affine.matrix(s, first), first.shape) for s in scans[1:]]
    return torch.cat(images)


def train(kind: Kind, images: Tensor, canvas: Canvas, minutes: float) -> UNet:
    """Train on random pairs for some minutes of CPU time; the network from moving to fixed."""
    torch.manual_seed(0)
    cyclic = kind == "CycleMorph"
    networks = [UNet(canvas.factors) for _ in range(1 + cyclic)]
    loss = _cycle_loss if cyclic else _velocity_loss
    optimiser = torch.optim.Adam(itertools.chain(*[n.parameters() for n in networks]), lr=_RATE)
    generator = torch.Generator().manual_seed(0)
    began, recent = time.process_time(), 0.0
    for step in itertools.count():
        spent = (time.process_time() - began) / (60 * minutes)
        if spent >= 1:
            logger.info("%s: %d steps, loss %.4f", kind, step, recent)
            break
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, 4 * (1 - spent))
        rows = torch.randint(len(images), (2, 1), generator=generator)
        value = loss(networks, images[rows[0]], images[rows[1]], canvas)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        recent += (value.item() - recent) / min(step + 1, 50)
        if step % _SAID_EVERY == 0:
            logger.info("%s: step %d, loss %.4f", kind, step, recent)
    return networks[0]


def _velocity_loss(networks: Sequence[UNet], a: Tensor, b: Tensor, canvas: Canvas) -> Tensor:
    velocity = networks[0](a, b)
    alike = local_correlation(warp(a, exponential(velocity)), b, canvas.window)
    return -alike + _SMOOTH_VELOCITY * roughness(velocity)


def _cycle_loss(networks: Sequence[UNet], a: Tensor, b: Tensor, canvas: Canvas) -> Tensor:
    there, back = networks
    total = torch.zeros(())
    for one, other, first, second in ((a, b, there, back), (b, a, back, there)):
        u = first(one, other)
        seen = warp(one, u)
        again = warp(seen, second(seen, one))
        same = warp(other, first(other, other))
        total = total - local_correlation(seen, other, canvas.window)
        total = total + _SMOOTH_CYCLE * roughness(u) + _CYCLE * (again - one).abs().mean()
        total = total - _IDENTITY * local_correlation(same, other, canvas.window)
    return total
