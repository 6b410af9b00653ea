"""Scaling of grey values x to normalised values z, and quantisation steps.

    x = offset + range · z,   step = range · 2**(−step_code / 1024)

``range`` and ``offset`` are few-bit codes fitted to the scan: its robust range, or the gain and
offset that match a warped template to the scan. The step is relative to the range. The context
model is conditioned on log2(range / step), which means the same on every scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import cache

import numpy as np

from deepstd.errors import InputError
from deepstd.texture.entropy.features import UNITS_PER_STEP

STEPS_PER_OCTAVE = 1024
STEP_CODE_MIN = -4 * STEPS_PER_OCTAVE
STEP_CODE_MAX = 16 * STEPS_PER_OCTAVE
TEMPLATE_ONE = 1024
"""Template value of normalised intensity 1."""
# Range codes an octave, and offset codes a range.
_RANGE_STEPS = 16
_OFFSET_STEPS = 64
_POWER_BITS = 20
# Largest coefficient in steps, as a power of two: float64 stays exact in 1/64 step.
_MOST_OCTAVES = 31
# Voxels that suffice for the percentiles of a large scan.
_SAMPLES = 1 << 22
# Ranges of grey values between which float32 suffices.
_FLOAT32_RANGE = (2.0**-90, 2.0**90)
RANGE_CODE_MAX = 16 * 1019
OFFSET_CODE_MAX = 1 << 38


@dataclass(frozen=True)
class Scaling:
    """Range and offset codes: range = 2**(range_code / 16), offset = offset_code · range / 64."""

    range_code: int
    offset_code: int

    @property
    def range(self) -> float:
        """Grey values that one unit of normalised intensity spans."""
        return 2.0 ** (self.range_code / _RANGE_STEPS)

    @property
    def offset(self) -> float:
        """Grey value of normalised intensity 0."""
        return self.offset_code * self.range / _OFFSET_STEPS

    def step(self, step_code: int) -> float:
        """Return the quantisation step of a step code in grey values."""
        return self.range * 2.0 ** (-step_code / STEPS_PER_OCTAVE)

    @staticmethod
    def fit(values: np.ndarray, template: np.ndarray | None = None) -> Scaling:
        """Fit the codes to the finite values of a scan, or match a warped template to the scan.

        A match of little gain, or of opposite contrast, is not used. The codes then follow from the
        robust range, and the template is only an input of the networks.

        Args:
            values: finite grey values, (*shape).
            template: warped template, 0 … 1023, of as many voxels, or None.

        Raises:
            InputError: the values span too much or too little.
        """
        low, middle, high = np.percentile(_sampled(values), [0.5, 50.0, 99.5])
        with np.errstate(over="ignore"):
            span = float(high - low) or float(np.float64(values.max()) - values.min()) or 1.0
        offset = float(middle)
        if template is not None:
            t = template.reshape(-1).astype(np.float64) / TEMPLATE_ONE
            v = values.reshape(-1).astype(np.float64)
            variance = float(t.var())
            slope = float(((t - t.mean()) * (v - v.mean())).mean() / variance) if variance else 0.0
            if slope > 0.25 * span:
                span, offset = slope, float(v.mean() - slope * t.mean())
        # An offset far beyond the range must still be a code.
        span = max(span, abs(offset) * (_OFFSET_STEPS / OFFSET_CODE_MAX) * 2)
        range_code = round(math.log2(span) * _RANGE_STEPS) if math.isfinite(span) else math.inf
        if abs(range_code) > RANGE_CODE_MAX:
            raise InputError(
                f"values from {values.min():g} to {values.max():g} span too much or too little: "
                "scale or clip them"
            )
        span = 2.0 ** (range_code / _RANGE_STEPS)
        return Scaling(int(range_code), round(offset / span * _OFFSET_STEPS))

    def normalise(self, values: np.ndarray) -> np.ndarray:
        """Return (values − offset) / range in float32, computed in float64 where necessary."""
        wide = values.dtype == np.float64 or not _FLOAT32_RANGE[0] < self.range < _FLOAT32_RANGE[1]
        dtype = np.float64 if wide else np.float32
        with np.errstate(over="ignore"):
            # The order in memory is that of the wavelet, which copies others.
            centred = values.astype(dtype, order="C")
            centred -= dtype(self.offset)
            centred /= dtype(self.range)
            return centred.astype(np.float32, copy=False)


def _sampled(values: np.ndarray) -> np.ndarray:
    """Return the values as float64; of a large scan, a random sample for its robust range."""
    if values.size > _SAMPLES:
        places = np.random.default_rng(0).integers(0, values.size, _SAMPLES)
        values = values[np.unravel_index(places, values.shape)]
    return values.astype(np.float64)


@cache
def _power_of_two(fraction: int) -> int:
    """Return 2**(fraction / 1024) in units of 2**-20.

    Decimal arithmetic gives the same integer on every machine.
    """
    with localcontext(Context(prec=40)):
        return int(Decimal(2) ** (Decimal(fraction) / STEPS_PER_OCTAVE) * (1 << _POWER_BITS))


def log_rate(step_code: int) -> int:
    """Return 32 log2(range / step), rounded: the rate that the networks are conditioned on."""
    return (step_code * 32 + STEPS_PER_OCTAVE // 2) // STEPS_PER_OCTAVE


def template_units(template: np.ndarray, step_code: int) -> np.ndarray:
    """Convert a warped template (whole numbers 0 … 1023) to units of 1/64 step, exactly.

    Returns:
        Whole numbers in float64, of the template's shape.
    """
    octaves, fraction = divmod(step_code, STEPS_PER_OCTAVE)
    factor = _power_of_two(fraction) * UNITS_PER_STEP
    units = template.astype(np.float64)
    units *= factor
    units *= 2.0 ** (octaves - _POWER_BITS)
    units /= TEMPLATE_ONE
    return np.floor(units, out=units)


def finest_step_code(normalised: np.ndarray, growth: float) -> int:
    """Return the largest step code at which all coefficients can be coded.

    Args:
        normalised: values in units of the scaling's range.
        growth: octaves by which the largest coefficient may exceed the largest value; the low
            subband of a wavelet grows by half an octave per axis and level.

    Raises:
        InputError: the values span more than can be coded.
    """
    # Beyond _MOST_OCTAVES a lifting step would not be exact in float64.
    largest = max(float(normalised.max()), -float(normalised.min()), 2.0**-_MOST_OCTAVES)
    octaves = _MOST_OCTAVES - growth - math.log2(largest) if math.isfinite(largest) else -math.inf
    if octaves * STEPS_PER_OCTAVE <= STEP_CODE_MIN:
        raise InputError(
            "the values span too much: some lie more than a million times as far out as nearly all "
            "others. Clip them, or replace them by NaN"
        )
    return min(STEP_CODE_MAX, math.floor(octaves * STEPS_PER_OCTAVE))
