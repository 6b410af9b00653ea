"""Error metrics of restored scans, and their exact definitions.

    original ─ Yardstick.of ─▶ peak, foreground, unit, definitions
    original, restored ─ Yardstick.measure ─▶ MAE, RMSE, PSNR, largest error, SSIM
                                              over all voxels and over the foreground

The foreground is the region above Otsu's threshold of the original, whose values are clipped to
their 0.5 and 99.5 percentiles. Holes of every slice (i, j) are filled, so that lungs and fluid
belong to the body. The original alone determines the foreground, so it is the same for every codec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from deepstd import io
from deepstd.errors import MissingExtraError
from deepstd.evaluate.metrics import range_peak
from deepstd.quality import errors_of, finite_range, ssim_of_regions
from deepstd.volume import Volume

UNKNOWN_UNIT = "grey values"
_PERCENTILES = (0.5, 99.5)
_OTSU_VOXELS = 4_000_000
# Ranges of the smallest and the largest value of a scan in HU.
_HOUNSFIELD_LOWEST = (-3100.0, -900.0)
_HOUNSFIELD_HIGHEST = (100.0, 35000.0)


@dataclass(frozen=True)
class Figures:
    """Error metrics of a restored scan; names that end in ``_fg`` are over the foreground alone.

    MAE, RMSE and largest error are in real-world units, PSNR is in dB. Undefined metrics are NaN.
    """

    mae: float
    rmse: float
    max_error: float
    psnr: float
    ssim: float
    mae_fg: float
    rmse_fg: float
    max_error_fg: float
    psnr_fg: float
    ssim_fg: float


NAMES = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True)
class Yardstick:
    """Original and settings for the error metrics of one scan.

    Attributes:
        original: stored voxels.
        foreground: bool, same shape.
        peak: peak of the PSNR and range of the SSIM in stored units: max − min of the scan.
        scale: real-world units per stored unit, the absolute rescale slope of the file.
        unit: unit of the real-world values as the file states it; "HU" where the format has no
            unit and the range of values is typical of CT; else `UNKNOWN_UNIT`.
    """

    original: np.ndarray
    foreground: np.ndarray
    peak: float
    scale: float
    unit: str

    @staticmethod
    def of(volume: Volume) -> Yardstick:
        """Compute foreground, peak, scale and unit of a scan.

        Raises:
            MissingExtraError: scikit-image is not installed.
        """
        return Yardstick(
            volume.voxels,
            foreground_of(volume.voxels),
            range_peak(volume.voxels),
            io.error_scale_of(volume.source).slope,
            unit_of(volume) or UNKNOWN_UNIT,
        )

    def measure(self, restored: np.ndarray) -> Figures:
        """Measure a restored scan, on its stored values.

        Raises:
            InputError: its shape differs from the shape of the original.
        """
        parts = [errors_of(self.original, restored, region) for region in (None, self.foreground)]
        similar = ssim_of_regions(
            self.original, restored, (None, self.foreground), data_range=self.peak
        )
        values: dict[str, float] = {}
        for ending, errors, ssim in zip(("", "_fg"), parts, similar, strict=True):
            values["mae" + ending] = self.scale * errors.mae
            values["rmse" + ending] = self.scale * errors.rmse
            values["max_error" + ending] = self.scale * errors.max_error
            values["psnr" + ending] = errors.psnr(self.peak)
            values["ssim" + ending] = ssim
        return Figures(**values)

    def definitions(self) -> Mapping[str, str]:
        """Return a short definition of each metric, for the heads of tables."""
        peak = f"{self.scale * self.peak:.6g}"
        space = "2d" if self.original.ndim == 2 else "3d"
        share = f"fg {100 * self.foreground.mean():.0f} %"
        all_voxels = {
            "mae": f"mae[{self.unit}]",
            "rmse": f"rmse[{self.unit}]",
            "max_error": f"max[{self.unit}]",
            "psnr": f"psnr[dB,peak={peak}]",
            "ssim": f"ssim[{space},g1.5,L={peak}]",
        }
        foreground = {f"{k}_fg": f"{v[:-1]},{share}]" for k, v in all_voxels.items()}
        return all_voxels | foreground


def unit_of(volume: Volume) -> str | None:
    """Return the unit of a scan's real-world values, or None where it is unknown.

    A format that cannot state a unit gets HU where the range of values is typical of CT.
    """
    stated = io.error_scale_of(volume.source).unit
    if stated is not None or volume.source.format == "dicom":
        return stated
    slope, intercept = io.scale_of(volume.source)
    low, high = sorted(slope * v + intercept for v in finite_range(volume.voxels))
    is_ct = (
        _HOUNSFIELD_LOWEST[0] <= low <= _HOUNSFIELD_LOWEST[1]
        and _HOUNSFIELD_HIGHEST[0] <= high <= _HOUNSFIELD_HIGHEST[1]
    )
    return "HU" if is_ct else None


def foreground_of(voxels: np.ndarray) -> np.ndarray:
    """Return the foreground of a scan: above Otsu's threshold, holes of its slices filled.

    A scan of one value, or without finite values, is all foreground.

    Args:
        voxels: 2 to 4 axes.

    Returns:
        bool, same shape.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    from scipy.ndimage import binary_fill_holes

    try:
        from skimage.filters import threshold_otsu
    except ImportError as error:
        raise MissingExtraError(
            'measuring the foreground needs scikit-image: pip install "deepstd[evaluate]"'
        ) from error
    sample = voxels.reshape(-1)[:: max(1, voxels.size // _OTSU_VOXELS)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size or sample.min() == sample.max():
        return np.ones(voxels.shape, bool)
    low, high = np.percentile(sample, _PERCENTILES)
    if low == high:
        low, high = sample.min(), sample.max()
    with np.errstate(invalid="ignore"):  # NaN compares as False: it is background
        mask = voxels > threshold_otsu(np.clip(sample, low, high))
    for k in np.ndindex(mask.shape[2:]):
        mask[(..., *k)] = binary_fill_holes(mask[(..., *k)])
    return mask
