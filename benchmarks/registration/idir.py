"""IDIR: one implicit neural representation of the field (Wolterink et al. 2022).

    affine ─ moving on the fixed grid
    x in [−1, 1]³ ─ sin ω(·) ─ sin ω(·) ─ sin ω(·) ─▶ u(x), du/dx
      ─ − NCC + weight × mean(det + 1/det − 2) ─ Adam ─▶ Warp

The published network has 256 neurons a layer and sees 2,500 steps of 10,000 points, about an hour
of a CPU core; `Idir` is the same with numbers for one. Derivatives of u are carried forward.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.registration.method import AffineStage
from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import (
    AFFINE_BYTES,
    Warp,
    affine_warp,
    grid,
    transformed,
    warp_image,
)
from deepstd.resampling import resample
from deepstd.shape.networks.similarity import correlation

Layers = list[tuple[Tensor, Tensor]]

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Idir:
    """Settings.

    Attributes:
        affine: the stage before it.
        width: neurons in each of three hidden layers.
        points: sampled in a step.
        steps: of Adam.
        rate: of Adam.
        omega: of the sines.
        jacobian: weight of the Jacobian term.
    """

    affine: AffineStage
    width: int = 64
    points: int = 2000
    steps: int = 200
    rate: float = 5e-4
    omega: float = 16.0
    jacobian: float = 0.05
    name: str = "IDIR (own, small)"

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Affine stage, then the fit."""
        matrix = self.affine.matrix(moving, fixed)
        seen = warp_image(moving.voxels, affine_warp(matrix, fixed.shape).coordinates)
        layers = self.fit(seen, fixed.voxels)
        coordinates = transformed(
            matrix, grid(fixed.shape) + self.displacement(layers, fixed.shape)
        )
        nbytes = AFFINE_BYTES + 2 * sum(w.numel() + b.numel() for w, b in layers)
        return Warp(coordinates.astype(np.float32), nbytes)

    @torch.no_grad()
    def displacement(self, layers: Layers, shape: Sequence[int]) -> np.ndarray:
        """(I, J, K, 3) displacement of a whole grid in voxels."""
        half = np.maximum((np.array(shape) - 1) / 2, 0.5)
        x = torch.from_numpy((grid(shape).reshape(-1, 3) / half - 1).astype(np.float32))
        u = torch.cat([_field(layers, part, self.omega)[0] for part in x.split(_CHUNK)])
        return u.numpy().reshape(*shape, 3) * half

    def fit(self, moving: np.ndarray, fixed: np.ndarray) -> Layers:
        """Weights and biases for two images on one grid."""
        generator = torch.Generator().manual_seed(0)
        layers = _initial(self.width, self.omega, generator)
        optimiser = torch.optim.Adam([p for layer in layers for p in layer], lr=self.rate)
        half = (torch.tensor(fixed.shape) - 1).clamp_min(1) / 2
        a, b = (torch.from_numpy(image)[None, None] for image in (moving, fixed))
        for _ in range(self.steps):
            x = torch.rand(self.points, 3, generator=generator) * 2 - 1
            u, slopes = _field(layers, x, self.omega)
            here = resample(b, ((x + 1) * half)[None])[0]
            there = resample(a, ((x + u + 1) * half)[None])[0]
            det = _determinant(slopes + torch.eye(3)).clamp(0.1, 10)
            alike = correlation(there, here, torch.ones_like(here)).sum()
            loss = self.jacobian * (det + 1 / det - 2).mean() - alike
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return [(w.detach(), b.detach()) for w, b in layers]


def _initial(width: int, omega: float, generator: torch.Generator) -> Layers:
    """Layers after Sitzmann et al. 2020; the last so small that the field begins near zero."""
    sizes = (3, width, width, width, 3)
    layers = []
    for index, (a, b) in enumerate(itertools.pairwise(sizes)):
        bound = 1 / a if index == 0 else math.sqrt(6 / a) / omega
        bound = 1e-4 if index == len(sizes) - 2 else bound
        values = torch.rand(a + 1, b, generator=generator) * 2 - 1
        weight, bias = values[:a] * bound, values[a] * bound
        layers.append((weight.requires_grad_(), bias.requires_grad_()))
    return layers


def _field(layers: Layers, x: Tensor, omega: float) -> tuple[Tensor, Tensor]:
    """Displacements (N, 3) at x (N, 3), and their derivatives (N, 3, 3), the last axis by x."""
    h = x
    slopes = torch.eye(3).expand(len(x), 3, 3)  # (N, by, value)
    for weight, bias in layers[:-1]:
        z = omega * (h @ weight + bias)
        h = torch.sin(z)
        slopes = omega * torch.cos(z)[:, None] * (slopes @ weight)
    weight, bias = layers[-1]
    return h @ weight + bias, (slopes @ weight).transpose(1, 2)


def _determinant(matrices: Tensor) -> Tensor:
    """Of (N, 3, 3), faster than the general one."""
    a, b, c = matrices.unbind(-1)
    return (a * torch.linalg.cross(b, c)).sum(-1)
