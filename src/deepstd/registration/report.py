"""Report of the registration of two scans, without torch.

registration.pair ─▶ PairReport ─ locations of the outputs ─▶ registration.RegisterReport
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PairReport:
    """Measurements of a registration.

    Attributes:
        ncc_before: correlation of the scans by their headers, −1 to 1.
        ncc_affine: correlation after the affine stage.
        ncc_after: correlation with the fields.
        cycle_error_voxels: mean distance of Φ_B(Φ_F(x)) from x, in voxels of the fixed scan.
        folding_percent: percentage of the fixed scan where det ∂Φ_F ≤ 0.
        omega: frequency factor Ω of the fields; None without fields.
        parameters: parameters of the transform from fixed to moving.
        seconds: wall time.
    """

    ncc_before: float
    ncc_affine: float
    ncc_after: float
    cycle_error_voxels: float
    folding_percent: float
    omega: int | None
    parameters: int
    seconds: float
