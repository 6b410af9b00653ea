"""DeepSTD's own registration of a pair, whole and with parts left out.

moving, fixed ─ deepstd.registration.pair ─▶ displacement in mm ─▶ Warp
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import Warp, grid, transformed
from deepstd.registration.cycle import CycleSettings
from deepstd.registration.pair import PairSettings, register_pair


@dataclass(frozen=True)
class Ours:
    """`register_pair`; what would be stored is the map from fixed to moving in float16."""

    name: str = "DeepSTD"
    settings: PairSettings = field(default_factory=PairSettings)

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Affine stage and cycle INR."""
        transform, report = register_pair(
            moving.voxels, moving.affine, fixed.voxels, fixed.affine, self.settings
        )
        world = transformed(fixed.affine, grid(fixed.shape))
        places = world + np.moveaxis(transform.displacement(), 0, -1)
        coordinates = transformed(np.linalg.inv(moving.affine), places)
        return Warp(coordinates.astype(np.float32), 2 * report.parameters)


def ablations() -> list[Ours]:
    """The method without each of its parts."""
    whole, cycle = PairSettings(), CycleSettings()
    without = {
        "affine stage alone": replace(whole, affine_only=True),
        "no cycle term": replace(whole, cycle=replace(cycle, cycle_weight=0.0)),
        "no Jacobian term": replace(whole, cycle=replace(cycle, jacobian_weight=0.0)),
        "no degradation": replace(whole, cycle=replace(cycle, omegas=cycle.omegas[:1])),
        "full resolution": replace(whole, coarser=1),
        "half resolution": replace(whole, coarser=2),
        "fields one after the other": replace(whole, cycle=replace(cycle, joint=False)),
    }
    return [Ours(f"DeepSTD, {name}", settings) for name, settings in without.items()]
