"""Registration of a scan to a bundle's template by a cycle-consistent pair of fields.

    scan ─ canvas ─▶ Adam on sampled voxels ─▶ heads of Φ_F and Φ_B ─ round ─▶ FieldCode, report

The hidden layers come from the bundle, so a scan has only the heads to fit, and the backward head
only along the bundle's modes. Where the loss stays above what is usual, Ω is lowered and the fit
begins again with smoother fields (paper, Methods, "Gradual degradation strategy"). As printed the
paper would lower Ω where the loss is good; and where no attempt is good enough we keep the best,
not the last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from deepstd.coding.tables import scale_of_index
from deepstd.container import Registration
from deepstd.geometry import resample
from deepstd.shape.adam import Adam
from deepstd.shape.alignment import Frame, canvas_frame, canvas_of, normalised, template_canvas
from deepstd.shape.loss import Sample, pair_loss, regularity_points
from deepstd.shape.model import HEAD_BITS, FieldCode, ShapeModel
from deepstd.shape.similarity import correlation
from deepstd.shape.siren import (
    BACKWARD,
    FORWARD,
    determinants,
    displacements,
    own_displacements,
)

POINTS = 1000
STEPS = 200
TRIAL_STEPS = 100
_RECENT = 10
_HEAD_RATE = 5e-3
_MOVE_RATE = 0.1
_PRIOR_WEIGHT = 3e-5
_POOL = 1 << 13
_MEASURED = 1 << 15


@dataclass(frozen=True)
class ShapeReport:
    """How a registration went.

    Attributes:
        ncc_before: correlation of scan and template by the base map alone.
        ncc_after: the same with the field as it is stored.
        cycle_error_voxels: mean distance of Φ_B(Φ_F(x)) from x, in template voxels.
        folding_percent: share of the template's frame where det ∂Φ_B ≤ 0.
        omega: Ω of the field.
        seconds: time taken.
    """

    ncc_before: float
    ncc_after: float
    cycle_error_voxels: float
    folding_percent: float
    omega: int
    seconds: float


def on_average(reports: Sequence[ShapeReport]) -> Registration:
    """What a file tells of the registration of its frames."""
    names = [figure.name for figure in fields(Registration)]
    return Registration(*(float(np.mean([getattr(r, n) for r in reports])) for n in names))


def register(
    volume: np.ndarray, affine: np.ndarray | None, model: ShapeModel
) -> tuple[FieldCode, ShapeReport]:
    """Fit a scan's field to a model.

    Args:
        volume: float32 of 2 or 3 axes, any scale; what is not finite is not part of the scan.
        affine: (4, 4) voxel-to-world matrix, or None.
        model: the bundle's.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    return register_all([volume], [affine], model)[0]


def register_all(
    volumes: Sequence[np.ndarray], affines: Sequence[np.ndarray | None], model: ShapeModel
) -> list[tuple[FieldCode, ShapeReport]]:
    """`register` for several scans at once, which is faster; ``seconds`` is the mean of them all.

    Raises:
        GeometryError: a scan cannot be laid on the template.
    """
    began = time.monotonic()
    frame = canvas_frame(model.template.shape, model.reach)
    canvases = normalised(
        torch.cat([canvas_of(v, a, model, frame) for v, a in zip(volumes, affines, strict=True)])
    )
    best: list[tuple[float, int, int]] = [(math.inf, 0, 0)] * len(volumes)
    fits: list[HeadFit] = []
    left = list(range(len(volumes)))
    for index in range(len(model.omegas)):
        fits.append(HeadFit(model, frame, canvases[left], index))
        losses = fits[index].run(TRIAL_STEPS).tolist()
        for row, (scan, loss) in enumerate(zip(left, losses, strict=True)):
            best[scan] = min(best[scan], (loss, index, row))
        left = [s for s, loss in zip(left, losses, strict=True) if not loss <= model.threshold]
        if not left:
            break
    found = {}
    for index in {index for _, index, _ in best}:
        fits[index].run(STEPS)
        symbols = fits[index].symbols()
        found[index] = symbols.numpy().astype(np.int32), measure(fits[index], symbols)
    seconds = (time.monotonic() - began) / len(volumes)
    results = []
    for _, index, row in best:
        symbols, measured = found[index]
        figures = {name: float(values[row]) for name, values in measured.items()}
        report = ShapeReport(**figures, omega=model.omegas[index], seconds=seconds)
        results.append((FieldCode(index, symbols[row]), report))
    return results


class HeadFit:
    """Heads of a batch of scans being fitted to a model, at one of its Ω.

    The forward head is free; the backward head moves along the model's modes, each in units of
    its usual size, and pays for moving as its symbols would.
    """

    def __init__(self, model: ShapeModel, frame: Frame, canvases: Tensor, omega_index: int) -> None:
        self.frame, self.canvases = frame, canvases
        self.omega = float(model.omegas[omega_index])
        device = canvases.device
        self.trunk, self.nodes = model.trunk().to(device), frame.nodes()
        self.template = template_canvas(model, frame).to(device)
        self.starts = _real(model.heads[omega_index], device) / (1 << HEAD_BITS)
        self.modes = _real(model.modes[omega_index], device) / (1 << HEAD_BITS)
        self.usual = _real(usual_sizes(model.scale_index[omega_index]), device)
        self.generator = torch.Generator().manual_seed(0)
        self._fill_pool()
        batch = len(canvases)
        self.forward_head = self.starts.new_zeros(batch, *self.starts.shape[1:]).requires_grad_()
        self.moves = self.starts.new_zeros(batch, len(self.usual)).requires_grad_()
        self.optimiser = Adam([self.forward_head, self.moves])
        self.step = 0

    def heads(self, symbols: Tensor) -> Tensor:
        """(2, B, W+1, ndim) for (B, K) symbols, whole or not."""
        forward = self.starts[FORWARD] + self.forward_head
        backward = self.starts[BACKWARD] + (symbols @ self.modes).reshape(forward.shape)
        return torch.stack([forward, backward])

    def run(self, until: int) -> Tensor:
        """Fit up to a step; (B,) mean loss of the last steps, without the price of symbols."""
        recent = []
        while self.step < until:
            falling = 0.5 * (1 + math.cos(math.pi * self.step / STEPS))
            heads = self.heads(self.moves * self.usual)
            images = self.canvases, self.template, self.frame
            loss = pair_loss(self.trunk, self.omega, heads, *images, self._sample())
            price = _PRIOR_WEIGHT * (self.moves**2).sum(-1)
            self.optimiser.step((loss + price).sum(), (falling * _HEAD_RATE, falling * _MOVE_RATE))
            self.step += 1
            recent = [*recent[1 - _RECENT :], loss.detach()]
        return torch.stack(recent).mean(0)

    def symbols(self) -> Tensor:
        """(B, K) whole symbols nearest to the fit."""
        return torch.round(self.moves.detach() * self.usual)

    @torch.no_grad()
    def _fill_pool(self) -> None:
        """Evaluate the trunk, which does not change here, once and for all points of all steps."""
        pool = torch.randperm(len(self.nodes), generator=self.generator)[:_POOL]
        self.pool = pool.to(self.nodes.device)
        x = self.nodes[self.pool][None]
        self.pool_features = self.trunk.features(x, self.omega)
        self.pool_slopes = self.trunk.slopes(x, self.omega)

    def _sample(self) -> Sample:
        """Fresh points out of the pool."""
        rows = torch.randint(len(self.pool), (POINTS,), generator=self.generator)
        rows = rows.to(self.pool.device)
        few = rows[: regularity_points(POINTS)]
        voxels = self.pool[rows]
        return Sample(
            voxels,
            self.nodes[voxels],
            self.pool_features[:, rows],
            self.pool_slopes[:, :, few],
        )


@torch.no_grad()
def measure(fit: HeadFit, symbols: Tensor) -> dict[str, Tensor]:
    """What a ShapeReport says about each scan of a fit, on evenly spread canvas voxels."""
    voxels = torch.arange(0, len(fit.nodes), math.ceil(len(fit.nodes) / _MEASURED))
    heads, x = fit.heads(symbols), fit.nodes[voxels]
    y = x + displacements(fit.trunk.features(x[None], fit.omega), heads)
    template = fit.template.expand(len(symbols), *fit.template.shape[1:])
    warped = resample(template, fit.frame.to_canvas(y[BACKWARD]))[:, 0]
    values, mask = fit.canvases.flatten(2)[:, :, voxels].unbind(1)
    start = y.flip(0)
    missed = start + own_displacements(fit.trunk, start, heads, fit.omega) - x
    folded = determinants(fit.trunk.slopes(x[None], fit.omega), heads)[BACKWARD] <= 0
    return {
        "ncc_before": correlation(template.flatten(1)[:, voxels], values, mask),
        "ncc_after": correlation(warped, values, mask),
        "cycle_error_voxels": (missed[BACKWARD] * fit.frame.reach).norm(dim=-1).mean(-1),
        "folding_percent": 100 * folded.float().mean(-1),
    }


def usual_sizes(scale_index: np.ndarray) -> np.ndarray:
    """Standard deviation of the symbols coded with a scale index (logistic)."""
    return np.array([scale_of_index(int(i)) for i in scale_index]) * (math.pi / math.sqrt(3))


def _real(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
