"""Real-world values of slices, and their distribution, for display.

Volume ─ slope, intercept ─▶ Channel ─ slice ─▶ float64 values
two channels ─ slabs ─▶ ranges, histograms, largest difference
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deepstd import io
from deepstd.planes import Plane
from deepstd.quality import finite_range, slabs
from deepstd.volume import Volume

BINS = 256
"""Most bins of a histogram."""

_LARGEST = float(np.finfo(np.float32).max)  # the page gets float32
_SAMPLES = 1 << 20  # voxels that percentiles are taken of
_PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True, eq=False)
class Channel:
    """A scan with the scale of its values.

    Attributes:
        voxels: stored values, shape (I, J), (I, J, K) or (I, J, K, T).
        slope, intercept: of the real-world values.
    """

    voxels: np.ndarray
    slope: float
    intercept: float

    @staticmethod
    def of(volume: Volume) -> Channel:
        """Return the channel of a scan.

        Raises:
            InputError: the header is damaged.
        """
        return Channel(volume.voxels, *io.scale_of(volume.source))

    @property
    def whole(self) -> bool:
        """True where every real-world value is an integer of 16 bits with a sign."""
        if self.voxels.dtype.kind not in "iub" or self.slope != 1 or self.intercept % 1:
            return False
        low, high = self.range
        limits = np.iinfo(np.int16)
        return limits.min <= low and high <= limits.max

    @cached_property
    def range(self) -> tuple[float, float]:
        """Smallest and largest finite real-world value; (0, 0) where there is none."""
        ends = finite_range(self.voxels)
        if math.isnan(ends[0]):
            return 0.0, 0.0
        low, high = sorted(float(value) for value in self.real(np.array(ends)))
        return low, high

    @property
    def usual_range(self) -> tuple[float, float]:
        """Real-world values that 1 % of the voxels lie below, and 1 % above; about so."""
        step = math.ceil((self.voxels.size / _SAMPLES) ** (1 / self.voxels.ndim))
        sample = self.real(self.voxels[(slice(None, None, step),) * self.voxels.ndim])
        sample = sample[np.isfinite(sample)]
        if not sample.size:
            return 0.0, 0.0
        # Not interpolated: the difference of two extreme floats overflows.
        low, high = np.percentile(sample, _PERCENTILES, method="nearest")
        return float(low), float(high)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Return real-world values in float64; finite ones stay within the range of float32."""
        with np.errstate(over="ignore"):
            values = stored.astype(np.float64) * self.slope + self.intercept
        if stored.dtype.kind != "f":
            return values
        infinite = np.isinf(stored)
        return np.where(infinite, values, np.clip(values, -_LARGEST, _LARGEST))

    def slice_of(self, plane: Plane, index: int, frame: int) -> np.ndarray:
        """Return the real-world values of a slice, float64 (rows, columns)."""
        voxels = self.voxels[..., frame] if self.voxels.ndim == 4 else self.voxels
        return self.real(plane.slice_of(voxels, index))


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of values in bins of equal width.

    Attributes:
        low: lower end of the first bin.
        width: width of a bin.
        counts: voxels in each bin.
    """

    low: float
    width: float
    counts: np.ndarray

    @staticmethod
    def empty(low: float, high: float, *, whole: bool, middle: bool = False) -> Histogram:
        """Return a histogram of no values from ``low`` to ``high``.

        Args:
            low, high: ends of the values.
            whole: True for integers, whose bins hold the same number of integers each.
            middle: True for a bin whose middle is half way between the ends.
        """
        most = BINS - 1 if middle else BINS
        if whole:
            width = float(math.ceil((high - low + 1) / most))
            count = math.ceil((high - low + 1) / width)
            if middle:  # an odd number of bins, each around a middle of its own
                width += 1 - width % 2
                count = 2 * math.ceil((high - low - width) / 2 / width) + 1 if high > low else 1
            first = (low + high) / 2 - count * width / 2 if middle else low - 0.5
            return Histogram(first, width, np.zeros(count, np.int64))
        width = (high - low) / most or 1.0
        return Histogram(low, width, np.zeros(most, np.int64))

    def add(self, values: np.ndarray) -> None:
        """Count values; those that are not finite are left out, others outside are at the ends."""
        finite = values[np.isfinite(values)]
        bins = np.clip((finite - self.low) / self.width, 0, len(self.counts) - 1)
        self.counts[:] += np.bincount(bins.astype(np.intp), minlength=len(self.counts))

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {"low": self.low, "width": self.width, "counts": self.counts.tolist()}


@dataclass(frozen=True, eq=False)
class Difference:
    """Distribution of the differences of two scans.

    Attributes:
        histogram: counts of restored minus original.
        largest: largest absolute difference of finite values.
        usual: absolute difference that at most 1 voxel in 1,000 exceeds, as far as bins tell.
        where: index of the largest difference, one number for each axis.
    """

    histogram: Histogram
    largest: float
    usual: float
    where: tuple[int, ...]


def histogram_of(channel: Channel, low: float, high: float, *, whole: bool) -> Histogram:
    """Return the counts of all real-world values of a scan between two ends."""
    result = Histogram.empty(low, high, whole=whole)
    for part in slabs(channel.voxels):
        result.add(channel.real(channel.voxels[part]))
    return result


def difference_of(original: Channel, restored: Channel, *, whole: bool) -> Difference:
    """Return the distribution of restored minus original over all voxels.

    Args:
        original, restored: scans of one shape.
        whole: True where all real-world values are integers.
    """
    largest, where = 0.0, (0,) * original.voxels.ndim
    for corner, errors in _differences(original, restored):
        size = np.where(np.isfinite(errors), np.abs(errors), 0)
        highest = int(size.argmax())
        if size.flat[highest] > largest:
            largest = float(size.flat[highest])
            there = np.unravel_index(highest, size.shape)
            where = tuple(int(a) + b for a, b in zip(there, corner, strict=True))
    counts = Histogram.empty(-largest, largest, whole=whole, middle=True)
    for _, errors in _differences(original, restored):
        counts.add(errors)
    return Difference(counts, largest, _usual(counts, largest), where)


def _differences(
    original: Channel, restored: Channel
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yield restored minus original by slabs, each with the index of its first voxel."""
    for part in slabs(original.voxels):
        errors = restored.real(restored.voxels[part])
        with np.errstate(invalid="ignore"):  # of two infinities
            errors -= original.real(original.voxels[part])
        yield tuple(one.start or 0 for one in part), errors


def _usual(counts: Histogram, largest: float) -> float:
    """Return the absolute difference that at most 1 voxel in 1,000 exceeds."""
    middles = np.abs(counts.low + (np.arange(len(counts.counts)) + 0.5) * counts.width)
    order = np.argsort(middles)
    shares = np.cumsum(counts.counts[order])
    if not shares[-1]:
        return 0.0
    reached = int(np.searchsorted(shares, 0.999 * shares[-1]))
    return min(largest, float(middles[order[reached]] + counts.width / 2))
