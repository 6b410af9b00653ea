"""Frames that are stored in different ways, as the voxels of one volume.

    planes, a scale each ┬ real-world values are multiples of one step ─▶ integers, one slope
                         └ otherwise ─▶ real-world values, float; padding NaN

Both lose nothing: every plane comes back from the volume exactly as it was stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.scales import FrameScale, to_voxels


@dataclass(frozen=True)
class Joint:
    """A way to hold planes of different scales in one volume.

    Attributes:
        dtype: of its voxels.
        slope, intercept: from its voxels to real-world values.
        scales: of each plane, as they are to be restored.
        notes: what a user should know, in sentences.
    """

    dtype: np.dtype
    slope: float
    intercept: float
    scales: list[FrameScale]
    notes: tuple[str, ...]

    def voxels(self, stored: np.ndarray, scale: FrameScale) -> np.ndarray:
        """Stored values of one plane as voxels of the volume."""
        return to_voxels(scale.real(stored), self.slope, self.intercept, self.dtype)


def same_scale(scales: Sequence[FrameScale]) -> bool:
    """Whether planes may be put together as they are stored."""
    told = {(s.slope, s.intercept, s.type, s.bits) for s in scales}
    return len(told) == 1


def joined(planes: Sequence[np.ndarray], scales: Sequence[FrameScale]) -> Joint:
    """The way to hold planes of stored values, each with its own scale, without loss.

    Raises:
        InputError: real-world values are not finite.
    """
    whole = _integers(planes, scales)
    if whole is not None:
        return whole
    padded = 0
    dtype = np.dtype(np.float32)
    for plane, scale in zip(planes, scales, strict=True):
        real = scale.real(plane)
        missing = scale.is_padding(plane)
        if not np.isfinite(real[~missing]).all():
            raise InputError("the rescaled values are not finite. The header is damaged")
        with np.errstate(over="ignore"):
            restored = scale.stored(real.astype(np.float32))
        if not ((restored == plane) | missing).all():
            dtype = np.dtype(np.float64)
        padded += np.count_nonzero(missing)
    count = len({(scale.slope, scale.intercept) for scale in scales})
    notes = [
        f"slices have {count} different rescale slopes and intercepts: kept as real-world values, "
        "and restored to DICOM on the scale of each"
    ]
    if padded:
        notes.append(f"{padded} voxels of padding are NaN among them, and stay padding in DICOM")
    return Joint(dtype, 1.0, 0.0, list(scales), tuple(notes))


def _integers(planes: Sequence[np.ndarray], scales: Sequence[FrameScale]) -> Joint | None:
    """Integers of one slope that are the real-world values exactly, where there are such.

    They are as wide as the widest stored type. None, too, where padding stands for several
    real-world values, as then no value of the volume could stand for padding.
    """
    plain = [replace(scale, padding=None, limit=None) for scale in scales]
    paddings = {
        (scale.slope * (scale.padding or 0) + scale.intercept, scale.limit)
        for plane, scale in zip(planes, scales, strict=True)
        if scale.is_padding(plane).any()
    }
    if len(paddings) > 1:
        return None
    slopes, intercepts = (
        [Fraction(repr(float(getattr(scale, name)))) for scale in plain]
        for name in ("slope", "intercept")
    )
    first = intercepts[0]
    step = _common_divisor([*slopes, *(other - first for other in set(intercepts))])
    ends = [
        (int(value) * a + b)
        for plane, a, b in zip(planes, slopes, intercepts, strict=True)
        for value in (plane.min(), plane.max())
    ]
    types = _candidates(scales)
    zeros = [first] if len(set(intercepts)) == 1 else [Fraction(0), *dict.fromkeys(intercepts)]
    for zero in zeros:
        if ((first - zero) / step).denominator != 1:
            continue
        lowest, highest = (min(ends) - zero) / step, (max(ends) - zero) / step
        for name in types:
            limits = np.iinfo(name)
            if limits.min <= lowest and highest <= limits.max:
                dtype = np.dtype(name)
                return Joint(dtype, float(step), float(zero), plain, (_told(scales, dtype),))
    return None


def _told(scales: Sequence[FrameScale], dtype: np.dtype) -> str:
    """A sentence on planes that integers of a type hold exactly."""
    ways = sorted({f"{s.dtype.name} of {s.bits} bits, intercept {s.intercept:g}" for s in scales})
    if len({scale.slope for scale in scales}) > 1:
        ways = [f"{len({(s.slope, s.intercept) for s in scales})} different rescale slopes"]
    return f"slices are stored in different ways ({'; '.join(ways)}): kept exactly as {dtype.name}"


def _candidates(scales: Sequence[FrameScale]) -> list[str]:
    """Integer types as wide as the widest that is stored; those that are stored first."""
    used = {scale.type for scale in scales}
    size = max(scale.dtype.itemsize for scale in scales)
    return sorted((f"u{size}", f"i{size}"), key=lambda name: name not in used)


def _common_divisor(values: Sequence[Fraction]) -> Fraction:
    """The largest number of which all are whole multiples; none of them need be positive."""
    denominator = math.lcm(*(value.denominator for value in values))
    return Fraction(math.gcd(*(int(value * denominator) for value in values)), denominator)
