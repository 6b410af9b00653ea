"""Voxels in equal steps, so that no voxel errs by more than a bound.

voxels, bound ─▶ origin, step ─▶ codes (whole numbers) ─ coded exactly ─▶ codes ─▶ voxels

Integers take steps of 2n + 1 for a bound n: as few values as the bound allows (near-lossless
coding as in JPEG-LS, ITU-T T.87, with the error of each voxel uniform within the bound).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from deepstd.coding.bytes import Cursor

# Largest number of steps: float64 tells neighbours apart, and sums of codes fit.
_MOST_STEPS = 1 << 50
# NaN, infinity and minus infinity have the codes above those of the finite values.
_SPECIAL = (np.nan, np.inf, -np.inf)
_FLOATS, _INTEGERS = struct.Struct("<ddQ"), struct.Struct("<qQQ")
# Largest origin and span of integers, so that sums do not overflow.
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True)
class UniformQuantiser:
    """Uniform quantiser of voxels, with reconstruction points ``origin + step · code``.

    Attributes:
        origin: value of code 0.
        step: distance of neighbouring points.
        most: largest code of a finite value.
    """

    origin: float | int
    step: float | int
    most: int

    @staticmethod
    def within(voxels: np.ndarray, bound: float) -> UniformQuantiser | None:
        """Return the quantiser of widest steps that keeps a bound; None where only exact voxels do.

        Args:
            voxels: stored values of any type.
            bound: largest error in stored units, above 0.
        """
        if voxels.dtype.kind == "f":
            return _of_floats(voxels, bound)
        if voxels.dtype.kind == "b":
            return None
        low, high = int(voxels.min()), int(voxels.max())
        step = 2 * int(min(bound, high - low)) + 1
        steps = -(-(high - low) // step)
        if step < 2 or steps > _MOST_STEPS or max(abs(low), high - low + step) > _LARGEST:
            return None
        return UniformQuantiser(low, step, steps)

    def codes(self, voxels: np.ndarray) -> np.ndarray:
        """Return the codes of voxels, in the smallest unsigned type that holds all codes."""
        if voxels.dtype.kind != "f":
            # Differences of 64-bit integers are right modulo 2**64.
            above = voxels.astype(np.uint64) - np.uint64(int(self.origin) % (1 << 64))
            return ((above + np.uint64(self.step // 2)) // np.uint64(self.step)).astype(self.type)
        with np.errstate(invalid="ignore", over="ignore"):
            nearest = np.rint((voxels.astype(np.float64) - self.origin) / self.step)
        codes = np.clip(np.nan_to_num(nearest), 0, self.most).astype(self.type)
        special = np.isnan(voxels), np.isposinf(voxels), np.isneginf(voxels)
        for number, where in enumerate(special):
            codes[where] = self.most + 1 + number
        return codes

    def voxels(self, codes: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return the voxels of codes in the stored type."""
        if dtype.kind != "f":
            limits = np.iinfo(dtype)
            highest = (limits.max - int(self.origin)) // self.step
            above = codes.astype(np.uint64) * np.uint64(self.step)
            found = (above + np.uint64(int(self.origin) % (1 << 64))).astype(dtype)
            found[codes > highest] = limits.max
            return found
        largest = np.finfo(dtype).max
        with np.errstate(over="ignore"):  # of the codes of special values, which follow
            found = np.clip(self.origin + codes * np.float64(self.step), -largest, largest)
        found = found.astype(dtype)
        for number, value in enumerate(_SPECIAL):
            found[codes == self.most + 1 + number] = value
        return found

    def pack(self) -> bytes:
        """Return the bytes of origin, step and largest code."""
        if isinstance(self.origin, int):
            return _INTEGERS.pack(self.origin, self.step, self.most)
        return _FLOATS.pack(self.origin, self.step, self.most)

    @staticmethod
    def read(cursor: Cursor, dtype: np.dtype) -> UniformQuantiser:
        """Read the quantiser of voxels of a stored type.

        Raises:
            DamagedError: the numbers make no sense.
        """
        form = _FLOATS if dtype.kind == "f" else _INTEGERS
        origin, step, most = form.unpack(cursor.take(form.size))
        if not (step > 0 and np.isfinite([origin, step]).all() and most <= _MOST_STEPS):
            raise cursor.error(f"steps of {step} from {origin}, {most} of them")
        return UniformQuantiser(origin, step, most)

    @property
    def type(self) -> np.dtype:
        """Type of the codes."""
        return np.min_scalar_type(self.most + len(_SPECIAL))


def largest_error(voxels: np.ndarray, restored: np.ndarray) -> float:
    """Return the largest difference of finite voxels in stored units, exact for integers."""
    if voxels.dtype.kind == "f":
        finite = np.isfinite(voxels)
        wide = (values[finite].astype(np.float64) for values in (voxels, restored))
        return float(np.abs(np.subtract(*wide)).max(initial=0.0))
    # Differences of 64-bit integers are right modulo 2**64.
    one, other = voxels.astype(np.uint64), restored.astype(np.uint64)
    return int(np.where(voxels > restored, one - other, other - one).max())


def _of_floats(voxels: np.ndarray, bound: float) -> UniformQuantiser | None:
    """Return a quantiser of floats, checked on them; None where rounding breaks the bound."""
    finite = voxels[np.isfinite(voxels)].astype(np.float64)
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    # The stored type rounds the points: a little less than the bound leaves room for it.
    for share in (1.0, 0.999, 0.99, 0.9):
        step = 2 * bound * share
        if not (np.isfinite(high - low) and step > 0 and (high - low) / step < _MOST_STEPS):
            return None
        found = UniformQuantiser(low, step, round((high - low) / step))
        if largest_error(finite, found.voxels(found.codes(finite), voxels.dtype)) <= bound:
            return found
    return None
