"""A pair of SIREN fields fitted to two scans (paper, "Cycle-INR based shape registration").

    views ─ random voxels of both ─ Adam: −NCC both ways, Jacobian term, cycle error ─▶ CycleFields
      └─ loss still worse than usual? Ω − 2, again ─▶ the best of all

Hidden layers and heads are fitted, from random weights or from those of a bundle's trunk. What
both scans share is decided by the affine stage: a field that could choose would push what it cannot
match out of the other scan. Gradual degradation is that of `register`, with a threshold for scans
of which nothing is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deepstd.registration.view import View
from deepstd.shape.adam import Adam
from deepstd.shape.loss import JACOBIAN_WEIGHT, irregularity
from deepstd.shape.similarity import correlation
from deepstd.shape.siren import (
    BACKWARD,
    FORWARD,
    Trunk,
    displacements,
    initial_trunk,
)

_TRUNK_RATE, _HEAD_RATE = 2e-3, 1e-2
_RECENT = 10
_USUAL_VOXELS = 1 << 17
_SIMILARITY_PER_REGULARITY = 8


@dataclass(frozen=True)
class CycleSettings:
    """How fields are fitted; what is not the default serves comparisons.

    Attributes:
        width: neurons in a hidden layer.
        omegas: Ω at the start and after each degradation.
        threshold: loss above which Ω is lowered; three of four hippocampus pairs stay below −1.65.
        steps: of Adam, for each Ω; up to 2.5 times as many for large scans.
        points: voxels of each scan in a step; up to three times as many for large scans.
        jacobian_weight, cycle_weight: of the two terms; the latter is less than where a field has
            few degrees of freedom, as it costs accuracy.
        joint: whether both fields are fitted at once; else the forward field first.
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
    """Φ_F, from fixed to moving, and Φ_B, from moving to fixed, in field coordinates.

    Attributes:
        trunk: hidden layers.
        heads: (2, 1, W+1, ndim).
        omega: Ω.
        loss: what it came down to.
    """

    trunk: Trunk
    heads: Tensor
    omega: int
    loss: float

    @property
    def parameters(self) -> int:
        """Numbers that one of the two fields consists of."""
        both = sum(p.numel() for p in (*self.trunk.parameters, self.heads))
        return both // 2

    def displacement(self, field: int, q: Tensor) -> Tensor:
        """(N, ndim): from (N, ndim) field coordinates to where a field leads."""
        features = self.trunk.of(field).features(q[None], self.omega)
        return torch.bmm(features, self.heads[field])[0]


def fit_fields(
    fixed: View, moving: View, limit: Tensor, settings: CycleSettings, start: Trunk | None
) -> CycleFields:
    """Fit both fields.

    Args:
        fixed, moving: the scans, laid on each other by the affine stage.
        limit: (ndim,) border of the fixed scan in field coordinates.
        settings: see there.
        start: hidden layers to start from; random ones if None.
    """
    best = _Fit(fixed, moving, limit, settings, settings.omegas[0], start).run()
    for omega in settings.omegas[1:]:
        if best.loss <= settings.threshold:
            break
        fields = _Fit(fixed, moving, limit, settings, omega, start).run()
        best = min(best, fields, key=lambda one: one.loss)
    return best


class _Fit:
    """One fit, at one Ω."""

    def __init__(
        self,
        fixed: View,
        moving: View,
        limit: Tensor,
        settings: CycleSettings,
        omega: int,
        start: Trunk | None,
    ) -> None:
        self.views = (moving, fixed)  # what Φ_F and Φ_B lead to
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
        # Along a short axis the steps of a long one would lead out of the other scan.
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
        """All steps."""
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
        """Fit some of the fields, the others as they are; mean loss of the last steps."""
        optimiser = Adam([*self.trunk.parameters, self.heads])
        recent = []
        for step in range(self.steps):
            falling = 0.51 + 0.49 * math.cos(math.pi * step / self.steps)
            loss = self._loss(fields)
            optimiser.step(loss, [falling * rate for rate in (*[_TRUNK_RATE] * 4, _HEAD_RATE)])
            recent = [*recent[1 - _RECENT :], loss.item()]
        return sum(recent) / len(recent)

    def _loss(self, fields: tuple[int, ...]) -> Tensor:
        """Loss of some of the fields on random voxels of both scans."""
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
        """Trunk and heads, of which only those of some fields have gradients."""
        heads = self.unit * self.heads
        if len(fields) == 2:
            return self.trunk, heads

        def held(both: Tensor) -> Tensor:
            return torch.stack([p if f in fields else p.detach() for f, p in enumerate(both)])

        held_parameters = {n: held(p) for n, p in _named(self.trunk)}
        return replace(self.trunk, **held_parameters), held(heads)


def _named(trunk: Trunk) -> list[tuple[str, Tensor]]:
    return list(zip(("weight1", "bias1", "weight2", "bias2"), trunk.parameters, strict=True))
