"""Registration of a scan to a bundle's template by a cycle-consistent pair of fields.

    scan ─ canvas ─▶ Adam on sampled voxels ─▶ heads of Φ_F and Φ_B ─ round ─▶ FieldCode, report

The hidden layers come from the bundle. A scan fits only the heads, and the backward head only along
the bundle's modes. Where the loss stays above the model's threshold, Ω is lowered and a smoother
field is fitted (paper, Methods, "Gradual degradation strategy"). Two details differ from the paper:
as printed it lowers Ω where the loss is good, and it keeps the last fit. We keep the best fit.
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

POINTS = 1000  # canvas voxels in a step
STEPS = 200  # steps of Adam in a whole fit
TRIAL_STEPS = 100  # steps after which the loss decides whether Ω is lowered
_RECENT = 10  # last steps whose loss is averaged
_HEAD_RATE = 5e-3
_MOVE_RATE = 0.1
_PRIOR_WEIGHT = 3e-5  # loss of a move by a standard deviation: stands for the bits of symbols
_POOL = 1 << 13  # canvas voxels that all steps draw from
_MEASURED = 1 << 15  # canvas voxels of a report's metrics, at most


@dataclass(frozen=True)
class ShapeReport:
    """Measurements of a registration.

    Attributes:
        ncc_before: correlation of scan and template by the base map alone, −1 to 1.
        ncc_after: correlation with the quantised field, −1 to 1.
        cycle_error_voxels: mean distance of Φ_B(Φ_F(x)) from x, in template voxels.
        folding_percent: percentage of the canvas where det ∂Φ_B ≤ 0.
        omega: Ω of the field.
        seconds: wall time; the mean where several scans were registered at once.
    """

    ncc_before: float
    ncc_after: float
    cycle_error_voxels: float
    folding_percent: float
    omega: int
    seconds: float


def on_average(reports: Sequence[ShapeReport]) -> Registration:
    """Average the measurements of several frames, for the header of a file."""
    names = [entry.name for entry in fields(Registration)]
    return Registration(*(float(np.mean([getattr(r, n) for r in reports])) for n in names))


def register(
    volume: np.ndarray, affine: np.ndarray | None, model: ShapeModel
) -> tuple[FieldCode, ShapeReport]:
    """Fit the deformation field of a scan to a bundle's template.

    Args:
        volume: float32 of 2 or 3 axes, any scale; non-finite voxels are masked out.
        affine: (4, 4) voxel-to-world matrix in mm, or None.
        model: shape model of the bundle.

    Returns:
        The field with whole symbols, and its measurements.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    return register_all([volume], [affine], model)[0]


def register_all(
    volumes: Sequence[np.ndarray], affines: Sequence[np.ndarray | None], model: ShapeModel
) -> list[tuple[FieldCode, ShapeReport]]:
    """Fit the fields of several scans at once, which is faster than one by one.

    Args:
        volumes: float32 scans of 2 or 3 axes, any scale; non-finite voxels are masked out.
        affines: (4, 4) voxel-to-world matrix in mm of each scan, or None.
        model: shape model of the bundle.

    Returns:
        Field and measurements of each scan; ``seconds`` is the mean over the scans.

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
        metrics = {name: float(values[row]) for name, values in measured.items()}
        report = ShapeReport(**metrics, omega=model.omegas[index], seconds=seconds)
        results.append((FieldCode(index, symbols[row]), report))
    return results


class HeadFit:
    """Fit of the heads of a batch of scans to a model, at one of its Ω.

    The forward head is free. The backward head moves along the model's modes, in units of each
    mode's standard deviation. A quadratic prior stands for the bits of its symbols.

    Args:
        model: shape model of the bundle.
        frame: frame of the canvases.
        canvases: (B, 2, *canvas), normalised grey values and masks.
        omega_index: index into the model's ``omegas``.
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
        """Return the heads, (2, B, W+1, ndim), for (B, K) symbols, rounded or not."""
        forward = self.starts[FORWARD] + self.forward_head
        backward = self.starts[BACKWARD] + (symbols @ self.modes).reshape(forward.shape)
        return torch.stack([forward, backward])

    def run(self, until: int) -> Tensor:
        """Fit until a number of steps; return the mean loss of the last ten, (B,).

        The loss leaves out the prior.
        """
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
        """Return the fit rounded to whole symbols, (B, K)."""
        return torch.round(self.moves.detach() * self.usual)

    @torch.no_grad()
    def _fill_pool(self) -> None:
        """Evaluate the trunk, which is not trained here, once at the points of all steps."""
        pool = torch.randperm(len(self.nodes), generator=self.generator)[:_POOL]
        self.pool = pool.to(self.nodes.device)
        x = self.nodes[self.pool][None]
        self.pool_features = self.trunk.features(x, self.omega)
        self.pool_slopes = self.trunk.slopes(x, self.omega)

    def _sample(self) -> Sample:
        """Draw points from the pool."""
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
    """Measure each scan of a fit on evenly spaced canvas voxels.

    Args:
        fit: fitted heads.
        symbols: (B, K) whole symbols.

    Returns:
        (B,) by name of the `ShapeReport` entry.
    """
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
    """Return the standard deviation of symbols with each scale index (logistic distribution)."""
    return np.array([scale_of_index(int(i)) for i in scale_index]) * (math.pi / math.sqrt(3))


def _real(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
