"""Fit of a scan to its bundle, from what the encoder computes anyway.

registration reports ──────────────▶ correlation, cycle error, folding
warped template, grey values ──────▶ residual energy of each part of the template
texture bytes, step, robust range ─▶ bits per voxel at a relative step
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.bundle.familiarity import Usual
from deepstd.codec.shape_stage import FrameShape
from deepstd.conditioning import Conditioning
from deepstd.shape.register import on_average
from deepstd.texture.codec import Encoder
from deepstd.windows import smoothed

CELLS = 16
"""Parts of the template along each axis, whose residuals are compared."""
_PLACES = 128  # units of template coordinates across the template
_SAMPLES = 1 << 22  # voxels that suffice for the percentiles of a large scan
# Ends of the scales of measures: what is beyond is no better or worse.
_LARGEST_CORRELATION, _LEAST_FOLDING, _LEAST = 0.9999, 0.1, 1e-6


@dataclass(frozen=True)
class Measure:
    """A measure of the fit.

    Attributes:
        name: the name in words and in ``familiarity.json``.
        sign: 1 where large values are unfamiliar, −1 where small ones are.
        least: least standard deviation between scans, on the normal scale.
        normal_already: whether its values are about normal as they are.
    """

    name: str
    sign: int
    least: float
    normal_already: bool = False

    def normal(self, value: float) -> float:
        """Convert a value to the scale on which it is about normal between scans."""
        if self.normal_already:
            return value
        if self in (BEFORE, CORRELATION):
            return math.atanh(min(max(value, -_LARGEST_CORRELATION), _LARGEST_CORRELATION))
        return math.log2(value + (_LEAST_FOLDING if self is FOLDING else _LEAST))

    def value(self, normal: float) -> float:
        """Convert back from the normal scale."""
        if self.normal_already:
            return normal
        if self in (BEFORE, CORRELATION):
            return math.tanh(normal)
        return max(0.0, 2.0**normal - (_LEAST_FOLDING if self is FOLDING else _LEAST))


BEFORE = Measure("correlation before registration", -1, 0.05)
CORRELATION = Measure("correlation with the template", -1, 0.05)
CYCLE = Measure("cycle error in voxels", 1, 0.05)
FOLDING = Measure("folding in %", 1, 0.5)
RESIDUAL = Measure("residual in % of the range", 1, 0.05)
MEASURES = (BEFORE, CORRELATION, CYCLE, FOLDING, RESIDUAL)
TOGETHER = Measure("misfit of the registration in deviations", 1, 0.2, normal_already=True)
UPRIGHT = Measure("likeness beyond that to the template turned", -1, 0.05, normal_already=True)
BITS = Measure("bits per voxel at this step", 1, 0.05)
REGION = Measure("largest residual to the usual one there", 1, 0.25)


def robust_range(values: np.ndarray) -> float:
    """Return the range of the grey values without half a per cent at either end."""
    flat = values.reshape(-1)[:: max(1, values.size // _SAMPLES)]
    low, high = np.percentile(flat, [0.5, 99.5])
    return float(high - low) or float(values.max()) - float(values.min()) or 1.0


def registration_measures(
    shapes: Sequence[FrameShape], values: Sequence[np.ndarray]
) -> dict[Measure, float]:
    """Return the measures of the registration, the mean over frames; {} without a field.

    Args:
        shapes: shape part of each frame.
        values: finite grey values of each frame.
    """
    reports = [shape.report for shape in shapes if shape.report is not None]
    fields = [shape.conditioning for shape in shapes if shape.conditioning is not None]
    if not reports or len(fields) != len(values):
        return {}
    mean = on_average(reports)
    left = [
        math.sqrt(float(np.square(residual(f, v)).mean()))
        for f, v in zip(fields, values, strict=True)
    ]
    return {
        BEFORE: mean.ncc_before,
        CORRELATION: mean.ncc_after,
        CYCLE: mean.cycle_error_voxels,
        FOLDING: mean.folding_percent,
        RESIDUAL: 100 * float(np.mean(left)),
    }


def together(measured: Mapping[Measure, float], usual: Mapping[str, Usual]) -> float:
    """Return the mean distance of the measures from the usual ones, in standard deviations.

    Several measures that are each near their limits are less usual than one.

    Args:
        measured: values of all `MEASURES`.
        usual: measures of the validation scans by name.
    """
    distances = [
        m.sign * (m.normal(measured[m]) - usual[m.name].mean) / usual[m.name].deviation
        for m in MEASURES
    ]
    return float(np.mean(distances))


def residual(conditioning: Conditioning, values: np.ndarray) -> np.ndarray:
    """Return what the warped template leaves, in robust ranges of the scan, float32 (*shape).

    Gain and offset of the template are fitted by least squares.
    """
    template = conditioning.template.reshape(values.shape).astype(np.float32)
    span = robust_range(values)
    scan = ((values - values.mean()) / span).astype(np.float32)
    template -= template.mean()
    power = float(np.square(template).mean())
    gain = float((template * scan).mean()) / power if power else 0.0
    return scan - np.float32(gain) * template


def part_of(conditioning: Conditioning, shape: tuple[int, ...], cells: int = CELLS) -> np.ndarray:
    """Return the number of the template's part of each voxel, int64 (*shape).

    Args:
        conditioning: template coordinates of the voxels.
        shape: shape of the scan.
        cells: parts along each axis.
    """
    places = conditioning.places.reshape(-1, *shape).astype(np.int64) + _PLACES // 2
    parts = np.minimum(places * cells // _PLACES, cells - 1)
    return np.asarray(np.ravel_multi_index(tuple(parts), (cells,) * len(shape)))


def energies(conditioning: Conditioning, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return summed squared residuals and voxels of each part, smoothed, (CELLS, …) float64."""
    parts = part_of(conditioning, values.shape).reshape(-1)
    count = CELLS**values.ndim
    squares = np.square(residual(conditioning, values)).reshape(-1)
    grid = (CELLS,) * values.ndim
    sums = np.bincount(parts, squares, count).reshape(grid)
    voxels = np.bincount(parts, minlength=count).reshape(grid).astype(float)
    return smoothed(sums, 0.7, "constant"), smoothed(voxels, 0.7, "constant")


def mean_energy(conditioning: Conditioning, values: np.ndarray) -> np.ndarray:
    """Return the mean squared residual of each part, float64; NaN where hardly covered."""
    sums, voxels = energies(conditioning, values)
    return np.where(well_seen(voxels), sums / np.maximum(voxels, 1e-9), np.nan)


def spread(usual: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a map of parts on a finer grid, whose sizes are multiples of the coarse ones."""
    for axis, (size, coarse) in enumerate(zip(shape, usual.shape, strict=True)):
        usual = np.repeat(usual, size // coarse, axis)
    return usual


def well_seen(voxels: np.ndarray) -> np.ndarray:
    """Return where a part of the template has enough voxels of the scan to be judged, bool."""
    return voxels > 0.3 * np.median(voxels[voxels > 0]) if (voxels > 0).any() else voxels > 0


def rate_of(encoders: Sequence[Encoder], step_code: int, nbytes: int) -> tuple[float, float]:
    """Return log2 of the robust range in steps, and the bits per voxel, of an encoded scan.

    Args:
        encoders: texture encoder of each frame.
        step_code: code of the quantisation step.
        nbytes: bytes of the textures.
    """
    ranges = [robust_range(e.values) / e.scaling.step(step_code) for e in encoders]
    voxels = sum(e.values.size for e in encoders)
    return math.log2(float(np.mean(ranges))), 8 * nbytes / voxels
