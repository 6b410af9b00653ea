"""Quality of a restored scan against its original: the four metrics that every file carries.

    original, restored ─ slabs ─▶ sums of |e|, e² and max |e| (float64) ─▶ MAE, max error, PSNR
                       └ slabs with halo ─ Gaussian windows (float32) ──▶ SSIM

Each metric is available over a region of the scan, too. Only finite voxels of the original count.
A finite voxel restored as NaN or infinity is an infinite error. Errors are in the units of the
arrays given.

Tables name the metrics `psnr[range]` and `ssim[g1.5,range]`. PSNR has the peak max − min of the
original. SSIM (Wang et al. 2004) has a Gaussian window of σ = 1.5 voxels truncated at 5 voxels,
K1 = 0.01, K2 = 0.03, population covariance and the same range. It is the mean over the voxels whose
window lies inside the scan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from deepstd.errors import InputError
from deepstd.threads import thread_count
from deepstd.windows import RADIUS, gaussian_means

_SLAB_VOXELS = 4_000_000  # bounds the memory of a measurement
_MOST_THREADS = 4  # each holds a slab
# Range of values whose squares, and squared errors, sum in float64 over any scan.
_SQUARES_FIT = (1e-100, 1e140)
_SSIM_C1 = 0.01**2
_SSIM_C2 = 0.03**2


@dataclass(frozen=True)
class Quality:
    """Error of a restored scan in stored units; PSNR in dB with the peak max − min.

    PSNR is infinite for an exact scan. Undefined metrics are NaN.

    Attributes:
        mae: mean absolute error.
        max_error: largest absolute error.
        psnr: peak signal-to-noise ratio in dB.
        ssim: mean structural similarity, at most 1.
    """

    mae: float
    max_error: float
    psnr: float
    ssim: float

    def scaled(self, slope: float) -> Quality:
        """Return the metrics with errors times ``slope``; PSNR and SSIM are ratios and stay.

        Args:
            slope: other units in a stored unit, such as a rescale slope.
        """
        return replace(self, mae=self.mae * slope, max_error=self.max_error * slope)


@dataclass(frozen=True)
class Errors:
    """Sums over the finite voxels of a scan or a region, in stored units.

    Attributes:
        absolute: sum of |e / unit|.
        squared: sum of (e / unit)².
        largest: largest |e|.
        count: number of voxels; without any, every metric is NaN.
        unit: power of two that keeps the squares within float64; 1 for ordinary values.
    """

    absolute: float
    squared: float
    largest: float
    count: int
    unit: float = 1.0

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return self.unit * (self.absolute / self.count) if self.count else math.nan

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return self.unit * math.sqrt(self.squared / self.count) if self.count else math.nan

    @property
    def max_error(self) -> float:
        """Largest absolute error."""
        return self.largest if self.count else math.nan

    def psnr(self, peak: float) -> float:
        """Return the peak signal-to-noise ratio in dB: 10 log10(peak² / MSE).

        The result is infinite without error. It is NaN without voxels, or with an error and
        ``peak`` 0.
        """
        if not self.count or math.isnan(peak):
            return math.nan
        if self.squared == 0:
            return math.inf
        if peak <= 0:
            return math.nan
        if math.isinf(self.squared):
            return -math.inf
        return 20 * math.log10(peak / self.unit) - 10 * math.log10(self.squared / self.count)


def measure(original: np.ndarray, restored: np.ndarray) -> Quality:
    """Measure a restored scan, with the value range of the original as peak.

    Args:
        original: scan of 2 to 4 axes, any real type.
        restored: scan of the same shape.

    Raises:
        InputError: the shapes differ.
    """
    errors = errors_of(original, restored)
    low, high = finite_range(original)
    return Quality(
        mae=errors.mae,
        max_error=errors.max_error,
        psnr=errors.psnr(high - low),
        ssim=ssim(original, restored, data_range=high - low),
    )


def mae(original: np.ndarray, restored: np.ndarray) -> float:
    """Return the mean absolute error."""
    return errors_of(original, restored).mae


def rmse(original: np.ndarray, restored: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return errors_of(original, restored).rmse


def max_error(original: np.ndarray, restored: np.ndarray) -> float:
    """Return the largest absolute error."""
    return errors_of(original, restored).max_error


def psnr(original: np.ndarray, restored: np.ndarray, *, peak: float) -> float:
    """Return the peak signal-to-noise ratio in dB, infinite without error."""
    return errors_of(original, restored).psnr(peak)


def finite_range(voxels: np.ndarray) -> tuple[float, float]:
    """Return the smallest and largest finite value; (NaN, NaN) where there is none."""
    low, high = math.inf, -math.inf
    for part in slabs(voxels):
        slab = voxels[part]
        if slab.dtype.kind == "f":
            slab = slab[np.isfinite(slab)]
        if slab.size:
            low, high = min(low, float(slab.min())), max(high, float(slab.max()))
    return (low, high) if low <= high else (math.nan, math.nan)


def ssim(original: np.ndarray, restored: np.ndarray, *, data_range: float) -> float:
    """Return the mean structural similarity of two scans; of 4-D scans, the mean over frames.

    Equals scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False)`` to 1e-4. Axes too short for a window have reflected borders,
    down to a single slice. Non-finite voxels of the original are replaced by its smallest finite
    value, and their windows are not counted.

    Args:
        original: scan of shape (I, J), (I, J, K) or (I, J, K, T).
        restored: scan of the same shape.
        data_range: the peak L of the stabilising constants (K L)².

    Returns:
        Mean SSIM. For a constant scan: 1 if it is exact, else NaN.

    Raises:
        InputError: the shapes differ.
    """
    return ssim_of_regions(original, restored, (None,), data_range=data_range)[0]


def ssim_of_regions(
    original: np.ndarray,
    restored: np.ndarray,
    regions: Sequence[np.ndarray | None],
    *,
    data_range: float,
) -> list[float]:
    """Return the mean structural similarity over several regions at once.

    A window counts in a region if its centre lies there.

    Args:
        original: scan of 2 to 4 axes.
        restored: scan of the same shape.
        regions: bool arrays of the same shape; None for the whole scan.
        data_range: the peak L of the stabilising constants (K L)².

    Raises:
        InputError: the shapes differ.
    """
    _check_shapes(original, restored)
    if original.ndim == 4:
        frames = [
            ssim_of_regions(
                original[..., t],
                restored[..., t],
                [None if region is None else region[..., t] for region in regions],
                data_range=data_range,
            )
            for t in range(original.shape[-1])
        ]
        return [float(np.mean(figures)) for figures in zip(*frames, strict=True)]
    low, _ = finite_range(original)
    if not math.isfinite(low):
        return [math.nan] * len(regions)
    if not data_range > 0:
        exact = errors_of(original, restored).largest == 0
        return [1.0 if exact else math.nan] * len(regions)
    margins = [min(RADIUS, (length - 1) // 2) for length in original.shape]

    def sums(part: tuple[slice, ...]) -> list[tuple[float, int]]:
        similarity, finite, inner = _ssim_slab(original, restored, part, margins, low, data_range)
        found = []
        for region in regions:
            counted = finite if region is None else finite & region[inner]
            total = float(np.sum(similarity, where=counted, dtype=np.float64))
            found.append((total, int(np.count_nonzero(counted))))
        return found

    totals, counts = [0.0] * len(regions), [0] * len(regions)
    # The filters release the interpreter lock.
    with ThreadPoolExecutor(min(thread_count(), _MOST_THREADS)) as pool:
        for found in pool.map(sums, slabs(original, halo=RADIUS)):
            for number, (total, count) in enumerate(found):
                totals[number] += total
                counts[number] += count
    # float32 windows of an exact scan may reach 1 + 1e-7.
    return [
        min(total / count, 1.0) if count else math.nan
        for total, count in zip(totals, counts, strict=True)
    ]


def _ssim_slab(
    original: np.ndarray,
    restored: np.ndarray,
    part: tuple[slice, ...],
    margins: list[int],
    offset: float,
    data_range: float,
) -> tuple[np.ndarray, np.ndarray, tuple[slice, ...]]:
    """Return the SSIM map of a slab, the mask of finite originals, and their window of the scan.

    Args:
        original, restored: whole scans.
        part: slab of the scan.
        margins: voxels at each border whose windows leave the scan, along each axis.
        offset: smallest finite value of the original.
        data_range: the peak L of the stabilising constants.
    """
    padded, inner, place = [], [], []
    for span, length, margin in zip(part, original.shape, margins, strict=True):
        start, stop = span.start or 0, length if span.stop is None else span.stop
        first, last = max(start - RADIUS, 0), min(stop + RADIUS, length)
        padded.append(slice(first, last))
        place.append(slice(max(start, margin), min(stop, length - margin)))
        inner.append(slice(place[-1].start - first, place[-1].stop - first))
    window, counted = tuple(padded), tuple(inner)
    finite = np.isfinite(original[window])
    x = _normalise(np.where(finite, original[window], offset), offset, data_range)
    y = _normalise(np.where(finite, restored[window], offset), offset, data_range)
    with np.errstate(invalid="ignore", over="ignore"):
        # var(x) and var(y) appear only as a sum, so four filtered images do instead of five.
        spread = gaussian_means(x * x + y * y)[counted]
        joint = gaussian_means(x * y)[counted]
        mean_x, mean_y = gaussian_means(x)[counted], gaussian_means(y)[counted]
        spread -= mean_x * mean_x + mean_y * mean_y
        joint -= mean_x * mean_y
        # The offset cancels in the variances; the means need it back.
        mean_x += np.float32(offset / data_range)
        mean_y += np.float32(offset / data_range)
        luminance = 2 * mean_x * mean_y + _SSIM_C1
        luminance /= mean_x * mean_x + mean_y * mean_y + _SSIM_C1
        similarity = luminance * ((2 * joint + _SSIM_C2) / (spread + _SSIM_C2))
    return similarity, finite[counted], tuple(place)


def _normalise(voxels: np.ndarray, offset: float, scale: float) -> np.ndarray:
    """Return (voxels − offset) / scale, float32, computed in float64 to keep all digits."""
    centred = voxels.astype(np.float64)
    centred -= offset
    centred /= scale
    return centred.astype(np.float32)


def errors_of(
    original: np.ndarray, restored: np.ndarray, region: np.ndarray | None = None
) -> Errors:
    """Sum the errors over a scan or a region.

    Args:
        original: scan of any real type.
        restored: scan of the same shape.
        region: bool array of the same shape; None for the whole scan.

    Raises:
        InputError: the shapes differ.
    """
    _check_shapes(original, restored)
    absolute, squared, largest, count = 0.0, 0.0, 0.0, 0
    unit = _unit_of(original)
    for part in slabs(original):
        with np.errstate(invalid="ignore"):  # ∞ − ∞, NaN: left out, or infinite below
            before = original[part].astype(np.float64)
            error = np.abs(before - restored[part].astype(np.float64))
        counted = np.isfinite(before) if original.dtype.kind == "f" else None
        if region is not None:
            counted = region[part] if counted is None else counted & region[part]
        if counted is not None:
            error = error[counted]
        if error.size:
            error[np.isnan(error)] = math.inf
            largest = max(largest, float(error.max()))
            error /= unit
            absolute += float(error.sum())
            count += error.size
            # No dot product: threads of BLAS wait for each other where processes share cores.
            squared += float(np.square(error, out=error).sum())
    return Errors(absolute, squared, largest, count, unit)


def _unit_of(voxels: np.ndarray) -> float:
    """Return a power of two as unit in which squared errors sum in float64 without overflow."""
    if voxels.dtype.kind != "f" or voxels.dtype.itemsize < 8:
        return 1.0
    largest = max(map(abs, finite_range(voxels)))
    low, high = _SQUARES_FIT
    if low <= largest <= high or largest == 0 or math.isnan(largest):
        return 1.0
    return 2.0 ** (math.frexp(largest)[1] - 1)


def slabs(voxels: np.ndarray, halo: int = 0) -> Iterator[tuple[slice, ...]]:
    """Yield slices that cut an array across its slowest axis into parts of bounded size.

    Args:
        voxels: array of any shape.
        halo: extra voxels that a part is read with on each side; parts are at least four times
            thicker.
    """
    strides = [abs(s) if n > 1 else 0 for s, n in zip(voxels.strides, voxels.shape, strict=True)]
    axis = int(np.argmax(strides))
    layer = max(1, voxels.size // voxels.shape[axis])
    # A slab thinner than its halo would mostly compute the halo.
    thickness = max(_SLAB_VOXELS // layer, 4 * halo, 1)
    for start in range(0, voxels.shape[axis], thickness):
        stop = min(start + thickness, voxels.shape[axis])
        yield tuple(
            slice(start, stop) if other == axis else slice(None) for other in range(voxels.ndim)
        )


def _check_shapes(original: np.ndarray, restored: np.ndarray) -> None:
    if original.shape != restored.shape:
        raise InputError(
            f"cannot compare scans of shapes {original.shape} and {restored.shape}: expected equal"
        )
