"""Grey scale of one frame: stored values to real-world values and back.

    stored ─ slope, intercept ─▶ real-world values; padding ─▶ NaN
    real-world values ─ nearest stored value in the bits of the frame ─▶ stored; NaN ─▶ padding

Real-world values come after the Modality LUT stage (PS3.3 C.11.1), such as HU or Bq/ml.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.images import number

# Stored values by which rounding may move a bound.
_ROUNDED = 1e-3
_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4")


@dataclass(frozen=True)
class FrameScale:
    """Storage of one frame in its source.

    Attributes:
        slope, intercept: from stored to real-world values; the slope is not zero.
        type: type of a stored value, such as "u2" or "i2".
        bits: bits that carry a value, *Bits Stored*.
        padding: *Pixel Padding Value*, where padding voxels are NaN among the real-world values;
            None where padding is a value like any other.
        limit: other end of a range of padding values, *Pixel Padding Range Limit*; None where the
            padding is one value.
    """

    slope: float
    intercept: float
    type: str
    bits: int
    padding: int | None = None
    limit: int | None = None

    @property
    def dtype(self) -> np.dtype:
        """NumPy type of a stored value, native byte order."""
        return np.dtype(self.type)

    def is_padding(self, stored: np.ndarray) -> np.ndarray:
        """Return a mask of stored values that are padding, a bool array of their shape."""
        if self.padding is None:
            return np.zeros(stored.shape, bool)
        low, high = self._padded
        return (stored >= low) & (stored <= high)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Return real-world values of stored ones, float64; padding is NaN."""
        real = stored * np.float64(self.slope) + self.intercept
        if self.padding is not None:
            real[self.is_padding(stored)] = np.nan
        return real

    def nearest(self, real: np.ndarray, within: tuple[float, float]) -> np.ndarray:
        """Return the nearest real-world values that the frame can store, float64; NaN stays.

        Args:
            real: real-world values.
            within: smallest and largest real-world value that is returned.
        """
        return self._whole(real, within) * self.slope + self.intercept

    def stored(self, real: np.ndarray) -> np.ndarray:
        """Return stored values nearest to real-world ones, in the type of the frame.

        Raises:
            InputError: a value is NaN, and the frame has no padding value to stand for it.
        """
        whole = self._whole(real)
        missing = np.isnan(whole)
        if missing.any():
            if self.padding is None:
                raise InputError(
                    "a voxel is NaN in a slice that declares no Pixel Padding Value, so DICOM "
                    "cannot hold it"
                )
            whole[missing] = self.padding
        return whole.astype(self.dtype)

    @property
    def _padded(self) -> tuple[int, int]:
        ends = sorted(v for v in (self.padding, self.limit) if v is not None)
        return ends[0], ends[-1]

    def _whole(
        self, real: np.ndarray, within: tuple[float, float] = (-math.inf, math.inf)
    ) -> np.ndarray:
        """Return stored values as float64, padding as NaN; no other value becomes padding."""
        signed = self.dtype.kind == "i"
        lowest = -(1 << self.bits - 1) if signed else 0
        highest = lowest + (1 << self.bits) - 1
        ends = sorted((end - self.intercept) / self.slope for end in within)
        lowest = max(lowest, np.ceil(ends[0] - _ROUNDED))
        highest = min(highest, np.floor(ends[1] + _ROUNDED))
        exact = (real.astype(np.float64) - self.intercept) / self.slope
        whole = np.clip(np.rint(exact), lowest, highest)
        if self.padding is not None:
            low, high = self._padded
            taken = (whole >= low) & (whole <= high)
            if taken.any():
                upwards = (exact - low > high - exact) | (low <= lowest)
                beside = np.where(upwards & (high < highest), high + 1, low - 1)
                whole = np.where(taken, beside, whole)
        return whole


def scale_of_frame(frame: Frame) -> FrameScale:
    """Return the grey scale that a frame's header states, with the declared padding value.

    Raises:
        InputError: a value is damaged.
    """
    image = frame.image
    padding, limit = (
        _as_stored(number(image.dataset, keyword), image.dtype)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    )
    limit = None if padding is None or limit == padding else limit
    return FrameScale(frame.slope, frame.intercept, image.dtype.str[1:], image.bits, padding, limit)


def _as_stored(value: float | None, dtype: np.dtype) -> int | None:
    """Return a padding value as pixels of a type hold it, whatever the sign of its element."""
    if value is None or value != int(value):
        return None
    span, lowest = 1 << 8 * dtype.itemsize, int(np.iinfo(dtype).min)
    return (int(value) - lowest) % span + lowest if abs(value) < span else None


def to_voxels(real: np.ndarray, slope: float, intercept: float, dtype: np.dtype) -> np.ndarray:
    """Return real-world values as voxels of one slope and intercept, nearest for integers."""
    voxels = (real - intercept) / slope
    if dtype.kind == "f":
        return voxels.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(voxels), limits.min, limits.max).astype(dtype)


def columns(scales: Sequence[FrameScale]) -> dict[str, Any]:
    """Return scales as plain values for JSON: a list for each attribute, or a shared value."""
    rows = [asdict(scale) for scale in scales]
    told: dict[str, Any] = {"count": len(rows)}
    for name in FrameScale.__dataclass_fields__:
        column = [row[name] for row in rows]
        shared = all(value == column[0] for value in column)
        if not shared or column[0] is not None:
            told[name] = column[0] if shared else column
    return told


def scales_of(told: Any) -> list[FrameScale]:
    """Return the scales of values from `columns`.

    Raises:
        ValueError, TypeError, LookupError: the values are damaged.
    """
    count = told["count"]
    if type(count) is not int or count < 1:
        raise ValueError("no number of frames")
    table: list[Sequence[Any]] = []
    for name in FrameScale.__dataclass_fields__:
        column = told.get(name)
        if isinstance(column, list) and len(column) != count:
            raise ValueError("a column of another length")
        table.append(column if isinstance(column, list) else [column] * count)
    scales = [FrameScale(*row) for row in zip(*table, strict=True)]
    for scale in set(scales):
        _check(scale)
    return scales


def _check(scale: FrameScale) -> None:
    """Raise a ValueError or TypeError where a scale is not as a reader makes it."""
    if not np.isfinite([scale.slope, scale.intercept]).all() or scale.slope == 0:
        raise ValueError("no grey scale")
    if scale.type not in _TYPES:
        raise ValueError("no stored type")
    if type(scale.bits) is not int or not 1 <= scale.bits <= 8 * scale.dtype.itemsize:
        raise ValueError("no number of bits")
    limits = np.iinfo(scale.dtype)
    for value in (scale.padding, scale.limit):
        if value is not None and (type(value) is not int or not limits.min <= value <= limits.max):
            raise ValueError("no padding value")
