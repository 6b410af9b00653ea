"""Joint storage of frames on different scales, as the voxels of one volume.

    planes, a scale each ┬ real-world values are multiples of one step ─▶ integers, one slope
                         └ otherwise ─▶ real-world values, float; padding NaN

Both are lossless but for voxels in a range of padding, which come back as one of its ends.
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
    """Storage of planes of different scales in one volume.

    Attributes:
        dtype: type of the voxels.
        slope, intercept: from voxels to real-world values.
        scales: scale of each plane, to which it is restored.
        notes: sentences for users.
    """

    dtype: np.dtype
    slope: float
    intercept: float
    scales: list[FrameScale]
    notes: tuple[str, ...]

    def voxels(self, stored: np.ndarray, scale: FrameScale) -> np.ndarray:
        """Return the stored values of one plane as voxels of the volume."""
        return to_voxels(scale.real(stored), self.slope, self.intercept, self.dtype)

    def changed(self, stored: np.ndarray, scale: FrameScale) -> int:
        """Return the number of voxels of one plane whose stored value does not come back."""
        real = self.voxels(stored, scale) * np.float64(self.slope) + self.intercept
        return int(np.count_nonzero(scale.stored(real) != stored))


def same_scale(scales: Sequence[FrameScale]) -> bool:
    """Return whether planes may be put together as they are stored."""
    told = {(s.slope, s.intercept, s.type, s.bits) for s in scales}
    return len(told) == 1


def joined(planes: Sequence[np.ndarray], scales: Sequence[FrameScale]) -> Joint:
    """Return the lossless storage of planes, each of stored values on its own scale.

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
    """Return integers of one slope that hold the real-world values exactly, or None.

    They are as wide as the widest stored type. None is also returned where padding means several
    real-world values, since no single voxel value could then mean padding.
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
    """Return a sentence on planes that integers of a type hold exactly."""
    ways = sorted({f"{s.dtype.name} of {s.bits} bits, intercept {s.intercept:g}" for s in scales})
    if len({scale.slope for scale in scales}) > 1:
        ways = [f"{len({(s.slope, s.intercept) for s in scales})} different rescale slopes"]
    return f"slices are stored in different ways ({'; '.join(ways)}): kept exactly as {dtype.name}"


def _candidates(scales: Sequence[FrameScale]) -> list[str]:
    """Return integer types as wide as the widest stored one, stored types first."""
    used = {scale.type for scale in scales}
    size = max(scale.dtype.itemsize for scale in scales)
    return sorted((f"u{size}", f"i{size}"), key=lambda name: name not in used)


def _common_divisor(values: Sequence[Fraction]) -> Fraction:
    """Return the largest number of which all values are whole multiples, of any sign."""
    denominator = math.lcm(*(value.denominator for value in values))
    return Fraction(math.gcd(*(int(value * denominator) for value in values)), denominator)
