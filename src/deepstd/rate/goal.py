"""Quality that a file must keep: a least PSNR or SSIM, or a largest mean or single error.

min_psnr | min_ssim | mae | max_error ─▶ QualityGoal ─ quality of the decoded scan ─▶ kept, or not
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepstd.errors import RateError

if TYPE_CHECKING:
    from deepstd.quality import Quality

MEASURES = ("psnr", "ssim", "mae", "max_error")
"""Names of the measures, attributes of `Quality`, in the order of their codes in files."""
_WORDS = {
    "psnr": "a PSNR of at least {} dB",
    "ssim": "an SSIM of at least {}",
    "mae": "a mean absolute error of at most {}",
    "max_error": "an error of at most {} for every voxel",
}
# Relative precision of the figures in a file.
_PRECISION = 2.0**-16
# dB of PSNR by which the error halves.
_DB_AN_OCTAVE = 20 * math.log10(2)


@dataclass(frozen=True)
class QualityGoal:
    """Least quality of the decoded scan.

    Attributes:
        measure: "psnr" in dB, "ssim", "mae" or "max_error" in real-world units such as HU.
        value: the least PSNR or SSIM, or the largest error.
    """

    measure: str
    value: float

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"there is no measure {self.measure!r}")
        most = 1.0 if self.measure == "ssim" else math.inf
        if not 0 < self.value <= most or math.isinf(self.value):
            kind = "a number above 0, 1 at most" if most == 1 else "a positive number"
            raise RateError(f"{self.option} must be {kind}, not {self.value!r}")

    @property
    def option(self) -> str:
        """Name of the argument of `deepstd.compress` that asks for it."""
        return self.measure if self.measure in ("mae", "max_error") else f"min_{self.measure}"

    @staticmethod
    def of(
        min_psnr: float | None = None, min_ssim: float | None = None, mae: float | None = None
    ) -> QualityGoal | None:
        """Return the goal of the one value that is given; None where all are None.

        Raises:
            RateError: several are given, or a value cannot be reached.
        """
        given = {"psnr": min_psnr, "ssim": min_ssim, "mae": mae}
        goals = [(name, value) for name, value in given.items() if value is not None]
        if len(goals) > 1:
            raise RateError("give one of min_psnr, min_ssim and mae")
        return QualityGoal(*goals[0]) if goals else None

    def excess(self, quality: Quality, slope: float) -> float:
        """Return by how many octaves a quality is better than the goal: below 0 where it misses.

        An octave is a factor of 2 in the error, in PSNR 6.02 dB, in SSIM a factor of 2 in the
        distance to 1. The result is infinite for an exact scan, and for one without finite voxels.

        Args:
            quality: quality of the decoded scan, with errors in stored units.
            slope: real-world units of one stored unit, above zero.
        """
        if not quality.max_error > 0:
            return math.inf
        reached = self.reached(quality, slope)
        if math.isnan(reached):
            return -math.inf
        if self.measure == "psnr":
            return (reached - self.value) / _DB_AN_OCTAVE
        wanted, found = self.value, reached
        if self.measure == "ssim":
            wanted, found = 1 - self.value, 1 - reached
        if found <= 0:
            return math.inf
        return math.log2(wanted / found) if wanted > 0 and math.isfinite(found) else -math.inf

    def tightened(self) -> QualityGoal:
        """Return the goal that an encoder aims at, so that figures rounded in a file keep this."""
        if self.measure == "max_error":  # which a file rounds up
            return self
        if self.measure == "mae":
            return QualityGoal("mae", self.value * (1 - _PRECISION))
        value = self.value * (1 + _PRECISION)
        return QualityGoal(self.measure, min(value, 1.0) if self.measure == "ssim" else value)

    def kept_by(self, quality: Quality, slope: float) -> bool:
        """Return True if a quality keeps the goal."""
        return self.excess(quality, slope) >= 0

    def reached(self, quality: Quality, slope: float) -> float:
        """Return the figure of a quality that the goal is about, errors in real-world units."""
        return float(getattr(quality.scaled(slope), self.measure))

    def __str__(self) -> str:
        return _WORDS[self.measure].format(f"{self.value:.6g}")
