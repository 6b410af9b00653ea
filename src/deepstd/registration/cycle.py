"""Pair of SIREN fields fitted to two scans (paper, "Cycle-INR based shape registration").

    views ─ random voxels of both ─ Adam: −NCC both ways, Jacobian term, cycle error ─▶ CycleFields
      └─ loss above the threshold? repeat with Ω − 2 ─▶ the best fit

Hidden layers and heads are fitted, from random weights or from the weights of a bundle. The affine
stage decides the overlap of the scans. Otherwise a field could push what it cannot match out of the
other scan. Ω is lowered where the loss stays above a threshold (paper, "Gradual degradation
strategy"); the threshold is fixed, as nothing is known about the scans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deepstd.registration.view import View
from deepstd.shape.loss import JACOBIAN_WEIGHT
from deepstd.shape.networks.adam import Adam
from deepstd.shape.networks.loss import irregularity
from deepstd.shape.networks.similarity import correlation
from deepstd.shape.networks.siren import Trunk, displacements, initial_trunk
from deepstd.shape.siren import BACKWARD, FORWARD

_TRUNK_RATE, _HEAD_RATE = 2e-3, 1e-2
_RECENT = 10  # last steps whose loss is averaged
_USUAL_VOXELS = 1 << 17  # larger scans get more steps and points
_SIMILARITY_PER_REGULARITY = 8  # points of the similarity terms for each regularity point


@dataclass(frozen=True)
class CycleSettings:
    """Settings of the fit; other values than the defaults serve comparisons.

    Attributes:
        width: neurons in a hidden layer.
        omegas: frequency factors Ω, at the start and after each degradation.
        threshold: loss above which Ω is lowered; three of four hippocampus pairs stay below −1.65.
        steps: steps of Adam for each Ω; up to 2.5 times more for large scans.
        points: voxels of each scan in a step; up to three times more for large scans.
        jacobian_weight: weight of the Jacobian term.
        cycle_weight: weight of the squared cycle error in voxels; smaller than in `shape.loss`, as
            the term costs accuracy where a field has many parameters.
        joint: fit both fields at once; False fits the forward field first.
    """

    width: int = 48
    omegas: tuple[int, ...] = (10, 8, 6)
    threshold: float = -1.6
    steps: int = 100
    points: int = 2000
    jacobian_weight: float = JACOBIAN_WEIGHT
    cycle_weight: float = 0.002
    joint: bool = True


@dataclass(frozen=True, eq=False)
class CycleFields:
    """Fields Φ_F, from fixed to moving, and Φ_B, from moving to fixed, in field coordinates.

    Attributes:
        trunk: hidden layers of both fields.
        heads: (2, 1, W+1, ndim), output layers.
        omega: frequency factor Ω.
        loss: mean loss of the last steps.
    """

    trunk: Trunk
    heads: Tensor
    omega: int
    loss: float

    @property
    def parameters(self) -> int:
        """Number of parameters of one of the two fields."""
        both = sum(p.numel() for p in (*self.trunk.parameters, self.heads))
        return both // 2

    def displacement(self, field: int, q: Tensor) -> Tensor:
        """Return a field's displacement at field coordinates, both (N, ndim)."""
        features = self.trunk.of(field).features(q[None], self.omega)
        return torch.bmm(features, self.heads[field])[0]


def fit_fields(
    fixed: View, moving: View, limit: Tensor, settings: CycleSettings, start: Trunk | None
) -> CycleFields:
    """Fit both fields to two scans.

    Args:
        fixed, moving: views of the scans, aligned by the affine stage.
        limit: (ndim,) border of the fixed scan in field coordinates.
        settings: sizes, steps and weights.
        start: hidden layers to start from; None for random layers.

    Returns:
        The fields of the lowest loss over the Ω tried.
    """
    best = _Fit(fixed, moving, limit, settings, settings.omegas[0], start).run()
    for omega in settings.omegas[1:]:
        if best.loss <= settings.threshold:
            break
        fields = _Fit(fixed, moving, limit, settings, omega, start).run()
        best = min(best, fields, key=lambda one: one.loss)
    return best


class _Fit:
    """Fit at one Ω."""

    def __init__(
        self,
        fixed: View,
        moving: View,
        limit: Tensor,
        settings: CycleSettings,
        omega: int,
        start: Trunk | None,
    ) -> None:
        self.views = (moving, fixed)  # targets of Φ_F and Φ_B
        self.settings, self.omega = settings, omega
        self.reach = fixed.matrix.diagonal()
        self.generator = torch.Generator().manual_seed(0)
        larger = len(fixed.voxels) / _USUAL_VOXELS
        self.count = round(settings.points * min(3.0, max(1.0, larger)))
        self.steps = round(settings.steps * min(2.5, max(1.0, larger)))
        if start is None:
            start = initial_trunk(len(limit), settings.width, omega, limit, self.generator)
        self.trunk = replace(start, **{n: p.clone().requires_grad_() for n, p in _named(start)})
        self.heads = torch.zeros(2, 1, start.width + 1, len(limit), requires_grad=True)
        # Displacements scale with the axis: unscaled steps would leave the scan along short axes.
        self.unit = limit / limit.max()
        self.points, self.here, self.shared = [], [], []
        for view in (fixed, moving):
            points = view.coordinates(view.voxels)
            seen = (points.abs() <= limit).all(-1)
            self.points.append(points[seen])
            self.here.append(view.values(view.voxels)[seen])
        for points, other in zip(self.points, self.views, strict=True):
            self.shared.append(other.at(points)[1])

    def run(self) -> CycleFields:
        """Run all steps and return the fields."""
        losses = []
        for fields in ((FORWARD, BACKWARD),) if self.settings.joint else ((FORWARD,), (BACKWARD,)):
            losses.append(self._descend(fields))
        return CycleFields(
            Trunk(*[p.detach() for p in self.trunk.parameters], limit=self.trunk.limit),
            (self.unit * self.heads).detach(),
            self.omega,
            sum(losses),
        )

    def _descend(self, fields: tuple[int, ...]) -> float:
        """Fit some of the fields and hold the others; return the mean loss of the last steps."""
        optimiser = Adam([*self.trunk.parameters, self.heads])
        recent = []
        for step in range(self.steps):
            falling = 0.51 + 0.49 * math.cos(math.pi * step / self.steps)
            loss = self._loss(fields)
            optimiser.step(loss, [falling * rate for rate in (*[_TRUNK_RATE] * 4, _HEAD_RATE)])
            recent = [*recent[1 - _RECENT :], loss.item()]
        return sum(recent) / len(recent)

    def _loss(self, fields: tuple[int, ...]) -> Tensor:
        """Return the loss of some of the fields on random voxels of both scans."""
        settings = self.settings
        trunk, heads = self._moving(fields)
        rows = [
            torch.randint(len(points), (self.count,), generator=self.generator)
            for points in self.points
        ]
        x = torch.stack([points[r] for points, r in zip(self.points, rows, strict=True)])
        few = slice(0, max(1, self.count // _SIMILARITY_PER_REGULARITY))
        y = x[:, None] + displacements(trunk.features(x, self.omega), heads)
        slopes = trunk.slopes(x[:, few], self.omega)
        jacobian, cycle = irregularity(
            trunk, self.omega, heads, x[:, None, few], y[:, :, few], slopes, self.reach
        )
        loss = torch.zeros(())
        for field in fields:
            there, _ = self.views[field].at(y[field, 0])
            here, shared = self.here[field][rows[field]], self.shared[field][rows[field]]
            loss = loss - correlation(there[None], here[None], shared[None])[0]
            loss = loss + settings.jacobian_weight * jacobian[field, 0]
        if BACKWARD in fields:
            loss = loss + settings.cycle_weight * cycle.sum()
        return loss

    def _moving(self, fields: tuple[int, ...]) -> tuple[Trunk, Tensor]:
        """Return trunk and heads, with gradients for some of the fields only."""
        heads = self.unit * self.heads
        if len(fields) == 2:
            return self.trunk, heads

        def held(both: Tensor) -> Tensor:
            return torch.stack([p if f in fields else p.detach() for f, p in enumerate(both)])

        held_parameters = {n: held(p) for n, p in _named(self.trunk)}
        return replace(self.trunk, **held_parameters), held(heads)


def _named(trunk: Trunk) -> list[tuple[str, Tensor]]:
    return list(zip(("weight1", "bias1", "weight2", "bias2"), trunk.parameters, strict=True))
