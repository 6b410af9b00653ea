"""How the registration of two scans went, told without torch.

registration.pair ─▶ PairReport ─ places of the outputs ─▶ registration.RegisterReport
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PairReport:
    """How a registration went.

    Attributes:
        ncc_before: correlation of both scans as their headers lay them.
        ncc_affine: after the affine stage.
        ncc_after: with the fields.
        cycle_error_voxels: mean distance of Φ_B(Φ_F(x)) from x, in voxels of the fixed scan.
        folding_percent: share of the fixed scan where det ∂Φ_F ≤ 0.
        omega: Ω of the fields; None without.
        parameters: numbers that make up the transform from fixed to moving.
        seconds: time taken.
    """

    ncc_before: float
    ncc_affine: float
    ncc_after: float
    cycle_error_voxels: float
    folding_percent: float
    omega: int | None
    parameters: int
    seconds: float
