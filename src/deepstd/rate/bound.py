"""Bound of the error of every voxel, as a number or as a share of the range of the scan.

"8" | "1%" ─▶ ErrorBound ─ range, slope of the scan ─▶ stored units
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepstd.errors import RateError


@dataclass(frozen=True)
class ErrorBound:
    """Largest error of a voxel.

    Attributes:
        value: in real-world units such as HU, or a share of the range.
        of_range: True where the value is a share of the range of the finite voxels.
    """

    value: float
    of_range: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise RateError(f"the largest error must be a positive number, not {self.value!r}")

    @staticmethod
    def of(wanted: float | str) -> ErrorBound:
        """Parse a bound: a number of real-world units, or a text such as "8" or "1%".

        Raises:
            RateError: the text is no positive number.
        """
        text = str(wanted).strip()
        try:
            if text.endswith("%"):
                return ErrorBound(float(text[:-1]) / 100, of_range=True)
            return ErrorBound(float(text))
        except ValueError:
            raise RateError(
                f"the largest error must be a number or a share such as 1%, not {wanted!r}"
            ) from None

    def stored(self, span: float, slope: float) -> float:
        """Return the bound in stored units.

        Args:
            span: largest less smallest finite stored value.
            slope: real-world units of one stored unit.
        """
        return self.value * span if self.of_range else self.value / abs(slope)

    def __str__(self) -> str:
        return f"{100 * self.value:g}%" if self.of_range else f"{self.value:g}"
