"""Joint fit of the deformation fields and the average of a population of scans.

canvases ─▶ mean ─▶ trunk and heads of all scans fitted to it (Adam) ─┐
             ▲                                                        │
             └── scans warped by Φ_F, mean displacement taken out ◀───┘   twelve times
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor

from deepstd.progress import ShowShare
from deepstd.resampling import resample
from deepstd.shape.alignment import Frame
from deepstd.shape.loss import regularity_points
from deepstd.shape.networks.frame import TensorFrame
from deepstd.shape.networks.loss import Sample, pair_loss
from deepstd.shape.networks.siren import Trunk, displacements, initial_trunk
from deepstd.shape.siren import FORWARD

_POINTS = 1000  # canvas voxels in a step
_CHUNK = 32  # scans in a step
_EPOCHS = 240
_AVERAGES = 12  # updates of the average in a fit
_RATES = (2e-3, 5e-3)  # learning rates of the trunk and of the heads
_BLOCK = 1 << 16  # points evaluated at once; bounds memory


class Population:
    """Trunk, heads and average of a population of scans.

    Args:
        canvases: (B, 2, *canvas), grey values of mean 0 and variance 1, and masks.
        frame: frame of the canvases.
        width: neurons in a hidden layer.
        omega: frequency factor Ω.
        seed: seed of the random numbers.
    """

    def __init__(self, canvases: Tensor, frame: Frame, width: int, omega: float, seed: int) -> None:
        self.canvases, self.omega = canvases, omega
        self.frame = TensorFrame(frame, canvases.device)
        self.nodes = self.frame.nodes()
        self.generator = torch.Generator().manual_seed(seed)
        device, ndim = canvases.device, len(frame.template_shape)
        limit = torch.tensor(frame.template_shape) / 2 / torch.from_numpy(frame.reach)
        start = initial_trunk(ndim, width, omega, limit, self.generator).to(device)
        self.trunk = Trunk(*[p.requires_grad_() for p in start.parameters], limit=start.limit)
        self.chunks = torch.arange(len(canvases)).split(_CHUNK)
        self.chunk_heads = [
            torch.zeros(2, len(c), width + 1, ndim, device=device, requires_grad=True)
            for c in self.chunks
        ]
        self.optimiser = torch.optim.Adam(
            [{"params": self.trunk.parameters}, {"params": self.chunk_heads}], betas=(0.9, 0.99)
        )
        self.average = self._averaged()

    @property
    def heads(self) -> Tensor:
        """Output layers of all scans, (2, B, W+1, ndim), without gradients."""
        return torch.cat([h.detach() for h in self.chunk_heads], 1)

    def fit(self, seconds: float, report: ShowShare) -> None:
        """Alternate gradient steps and averages, for at most 240 epochs within a time.

        Args:
            seconds: time limit; at least one epoch is run.
            report: called with a sentence and the share done.
        """
        began, epochs, epoch = time.monotonic(), _EPOCHS, 0
        while epoch < epochs:
            for group, rate in zip(self.optimiser.param_groups, _RATES, strict=True):
                group["lr"] = rate * (0.52 + 0.5 * math.cos(math.pi * epoch / epochs))
            losses = [self._step(i) for i in range(len(self.chunks))]
            epoch += 1
            affordable = int(seconds * epoch / max(time.monotonic() - began, 1e-9))
            epochs = max(min(_EPOCHS, affordable), epoch)
            if epoch % max(1, epochs // _AVERAGES) == 0:
                self._centre()
                self.average = self._averaged()
                report(f"fields fitted, loss {np.mean(losses):.4f}", epoch / epochs)
        self._centre()

    @torch.no_grad()
    def features(self, q: Tensor) -> Tensor:
        """Return the features, (2, N, W+1), at field coordinates, (N, ndim)."""
        return torch.cat([self.trunk.features(p[None], self.omega) for p in q.split(_BLOCK)], 1)

    def _step(self, index: int) -> float:
        voxels = torch.randint(len(self.nodes), (_POINTS,), generator=self.generator)
        voxels = voxels.to(self.nodes.device)
        x = self.nodes[voxels]
        few = x[: regularity_points(_POINTS)]
        sample = Sample(
            voxels,
            x,
            self.trunk.features(x[None], self.omega),
            self.trunk.slopes(few[None], self.omega),
        )
        images = self.canvases[self.chunks[index]], self.average, self.frame
        loss = pair_loss(self.trunk, self.omega, self.chunk_heads[index], *images, sample)
        self.optimiser.zero_grad()
        loss.sum().backward()
        self.optimiser.step()
        return loss.mean().item()

    @torch.no_grad()
    def _centre(self) -> None:
        """Subtract the mean displacement, so that the average is central in the population."""
        mean = self.heads.mean(1, keepdim=True)
        for heads in self.chunk_heads:
            heads -= mean

    @torch.no_grad()
    def _averaged(self) -> Tensor:
        """Return the mean of the scans warped by Φ_F, (1, 1, *canvas)."""
        features = self.features(self.nodes)
        total = torch.zeros(2, len(self.nodes), device=self.nodes.device)
        for chunk, heads in zip(self.chunks, self.chunk_heads, strict=True):
            y = self.nodes + displacements(features, heads)[FORWARD]
            scan = resample(self.canvases[chunk], self.frame.to_canvas(y))
            total += (scan * scan[:, 1:]).sum(0)
        average = filled(total.cpu().numpy().reshape(2, *self.frame.frame.canvas_shape))
        return torch.from_numpy(average).to(self.nodes.device)[None, None]


def filled(total: np.ndarray) -> np.ndarray:
    """Divide sums by counts; fill uncovered voxels with the nearest covered value.

    Args:
        total: (2, *shape), sums and counts.

    Returns:
        float32 (*shape).
    """
    from scipy import ndimage  # only templates in the making need what it takes to import

    values, count = total
    empty = count < 0.5
    average = values / np.maximum(count, 0.5)
    if empty.any() and not empty.all():
        nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
        average = average[tuple(np.asarray(nearest))]
    return average.astype(np.float32)
