"""Familiarity: how the validation scans of a bundle fitted, in a file beside the bundle.

    measures of validation scans ─ mean, deviation ─▶ familiarity.json ─▶ limits for other scans

The file decides no voxel, so the hash of the bundle leaves it out: files stay readable where it is
made again.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepstd.bundle.manifest import faults
from deepstd.errors import BundleError
from deepstd.io import room_told

NAME = "familiarity.json"
# Share of scans as in the validation that one limit flags, if they are normal: with ten limits
# that are not independent, at most 2 % of the scans.
_FLAGGED = 0.002
# Points of the integral of Student's distribution.
_ANGLES = 20_001
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Usual(BaseModel):
    """A measure of the validation scans, on a scale on which it is about normal.

    Attributes:
        mean: mean over the scans.
        deviation: standard deviation over the scans.
        scans: number of scans.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: Finite
    deviation: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    scans: Annotated[int, Field(ge=2)]

    @staticmethod
    def of(values: np.ndarray, least: float) -> Usual:
        """Return mean and deviation of at least two values; ``least`` is the least deviation."""
        return Usual(
            mean=float(np.mean(values)),
            deviation=max(float(np.std(values, ddof=1)), least),
            scans=len(values),
        )

    @property
    def margin(self) -> float:
        """Distance from the mean beyond which 0.2 % of such scans lie on one side.

        The quantile is that of Student's distribution: few scans tell the deviation roughly.
        """
        quantile = students_quantile(1 - _FLAGGED, self.scans - 1)
        return quantile * self.deviation * math.sqrt(1 + 1 / self.scans)


def students_quantile(share: float, freedom: int) -> float:
    """Return the quantile of Student's distribution, above its median.

    Its integral is one of a power of cosines, in the angle of x / √freedom.

    Args:
        share: share of the distribution below the quantile, 0.5 to 1.
        freedom: degrees of freedom, at least 1.
    """
    angles = np.linspace(0, math.pi / 2, _ANGLES)
    density = np.cos(angles) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = np.interp(2 * share - 1, below / below[-1], angles)
    return math.sqrt(freedom) * math.tan(float(angle))


class BitsAt(BaseModel):
    """Bits per voxel of the validation scans at one relative step.

    Attributes:
        log_rate: log2 of the scan's robust range in steps.
        bits: log2 of the bits per voxel.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    log_rate: Finite
    bits: Usual


class Residuals(BaseModel):
    """Energy that the warped template leaves in each part of it.

    Attributes:
        cells: parts along each axis of the template.
        energy: mean squared residual of each part in squared robust ranges of the scan, C order.
        largest: log2 of the largest ratio to it in a validation scan left out of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: Annotated[tuple[int, ...], Field(min_length=2, max_length=3)]
    energy: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    largest: Usual


class ValidationStatistics(BaseModel):
    """Contents of ``familiarity.json``.

    Attributes:
        schema_version: version of this description.
        measures: registration of the scans by the name of the measure; empty without a template.
        bits: bits per voxel by the number of axes, in order of ascending rate.
        residuals: energy that the template does not explain; None without a template.
        spots: the same of compact patches of one sign; None also in files of earlier releases.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    measures: dict[str, Usual] = {}
    bits: dict[Literal["2", "3"], list[BitsAt]] = {}
    residuals: Residuals | None = None
    spots: Residuals | None = None

    def bits_at(self, ndim: int, log_rate: float) -> Usual | None:
        """Return the usual log2 of bits per voxel at a relative step, interpolated.

        Args:
            ndim: number of axes of the scan.
            log_rate: log2 of the scan's robust range in steps.

        Returns:
            None beyond the steps of the validation.
        """
        known = self.bits.get("2" if ndim == 2 else "3", [])
        rates = [one.log_rate for one in known]
        if not rates or not rates[0] <= log_rate <= rates[-1]:
            return None
        mean, deviation = (
            float(np.interp(log_rate, rates, [getattr(one.bits, name) for one in known]))
            for name in ("mean", "deviation")
        )
        scans = min(one.bits.scans for one in known)
        return Usual(mean=mean, deviation=deviation, scans=scans)


def load_familiarity(folder: Path) -> ValidationStatistics | None:
    """Read the familiarity of a bundle; return None where the bundle has none.

    Raises:
        BundleError: the file cannot be read or is no such description.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        found = ValidationStatistics.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = faults(error) if isinstance(error, ValidationError) else error.strerror
        raise BundleError(
            f"{path}: not readable as statistics of validation scans ({reason}). Install the "
            "bundle again, or remove this file to compress without the check"
        ) from error
    for left in (found.residuals, found.spots):
        if left is None or math.prod(left.cells) == len(left.energy):
            continue
        raise BundleError(
            f"{path}: has {len(left.energy)} energies for {math.prod(left.cells)} parts of the "
            "template. Install the bundle again, or remove this file"
        )
    return found


def save_familiarity(folder: Path, statistics: ValidationStatistics) -> None:
    """Write the familiarity of a bundle beside it.

    Raises:
        InputError: the file cannot be written.
    """
    path = folder / NAME
    with room_told(path, path):
        path.write_text(statistics.model_dump_json(indent=1) + "\n", encoding="utf-8")
