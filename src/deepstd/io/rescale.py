"""Real-world values of stored ones: slope, intercept and unit of a scan's header.

Volume ─ slope and intercept of its header ─▶ Volume in real-world values
Volume ─ DICOM frames on different scales ─▶ values as the files store them ─▶ Volume
header ─▶ ErrorScale: size of the slope and unit, in which errors are reported
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deepstd.io import dicom, itk_geometry, nifti_scale, picture_header
from deepstd.io.nifti_header import NAMES as NIFTI_NAMES
from deepstd.volume import SourceHeader, Volume

Scale = tuple[float, float]
# Functions that read slope and intercept of a format's header; other formats have none.
_SCALES: dict[str, Callable[[SourceHeader], Scale]] = {
    **dict.fromkeys(NIFTI_NAMES, nifti_scale.scale_of),
    **dict.fromkeys(itk_geometry.NAMES, itk_geometry.scale_of),
    **dict.fromkeys(picture_header.NAMES, picture_header.scale_of),
    dicom.NAME: dicom.scale_of,
}
_INTEGERS = (np.int16, np.int32)  # types of shifted integers, the narrower one first


def scale_of(source: SourceHeader) -> Scale:
    """Return slope and intercept of a scan's header; 1 and 0 where the header states none.

    Raises:
        InputError: the header is damaged.
    """
    return _SCALES[source.format](source) if source.format in _SCALES else (1.0, 0.0)


@dataclass(frozen=True)
class ErrorScale:
    """Conversion of errors of stored values to errors of real-world values.

    Attributes:
        slope: real-world units per stored unit, above zero.
        unit: unit of the real-world values, such as "HU"; None where it is not known.
    """

    slope: float = 1.0
    unit: str | None = None


def error_scale_of(source: SourceHeader) -> ErrorScale:
    """Return the conversion of errors for a scan with this header.

    Raises:
        InputError: the header is damaged.
    """
    slope, _ = scale_of(source)
    unit = dicom.unit_of(source) if source.format == dicom.NAME else None
    return ErrorScale(abs(slope), unit)


def requantised(volume: Volume) -> Volume:
    """Move restored voxels, in place, to the nearest values that their source can store.

    Only DICOM slices on different scales can store fewer values than the type of their voxels.

    Raises:
        InputError: the header is damaged.
    """
    return dicom.requantised(volume) if volume.source.format == dicom.NAME else volume


def stored_values(volume: Volume) -> np.ndarray | None:
    """Return the values that the files of a scan store, where voxels are others.

    Only DICOM slices on different scales are not stored as their voxels are.

    Returns:
        an array of the scan's shape from which `voxels_of` makes the voxels bit for bit, or None.

    Raises:
        InputError: the header is damaged.
    """
    return dicom.stored_values(volume) if volume.source.format == dicom.NAME else None


def stored_type(source: SourceHeader) -> np.dtype | None:
    """Return the type of `stored_values` of a scan with this header; None where there are none.

    Raises:
        InputError: the header is damaged.
    """
    return dicom.stored_type(source) if source.format == dicom.NAME else None


def voxels_of(values: np.ndarray, source: SourceHeader, dtype: np.dtype) -> np.ndarray:
    """Return the voxels of `stored_values`.

    Args:
        values: array of the scan's shape and `stored_type`.
        source: header of the scan.
        dtype: type of its voxels.

    Raises:
        InputError: the header is damaged.
    """
    return dicom.voxels_of(values, source, dtype)


def largest_step(volume: Volume) -> float:
    """Return the largest distance between neighbouring values that voxels can have.

    Different devices may restore a voxel to either of two neighbours. The distance is 1 for
    integers and 0 for floats. For DICOM slices on different scales it is the largest of all slices,
    in units of the voxels.

    Raises:
        InputError: the header is damaged.
    """
    if volume.source.format == dicom.NAME:
        return dicom.largest_step(volume)
    return 1.0 if volume.voxels.dtype.kind in "iu" else 0.0


def real_world(volume: Volume) -> Volume:
    """Return the scan with slope and intercept applied, or the scan itself without any.

    A changed scan has an empty header, since its own header would apply them again.

    Raises:
        InputError: the header is damaged.
    """
    slope, intercept = scale_of(volume.source)
    if (slope, intercept) == (1.0, 0.0):
        return volume
    return Volume(rescaled(volume.voxels, slope, intercept), volume.affine)


def rescaled(voxels: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return the voxels times slope plus intercept.

    Integers with a slope of 1 and an integer intercept stay integers: of 16 or else 32 bits, where
    they fit. All others become float32; float64 stays float64.
    """
    if voxels.dtype.kind in "iu" and slope == 1 and intercept == np.rint(intercept):
        limits = [int(voxels.min()) + int(intercept), int(voxels.max()) + int(intercept)]
        for dtype in _INTEGERS:
            if np.iinfo(dtype).min <= limits[0] and limits[1] <= np.iinfo(dtype).max:
                # Two's complement: an overflow of the type is undone by the sum.
                return voxels.astype(dtype) + np.array(int(intercept) & 0xFFFFFFFF).astype(dtype)
    double = voxels.dtype.newbyteorder("=") == np.float64
    result = np.multiply(voxels, slope, dtype=np.float64)
    result += intercept
    return result if double else result.astype(np.float32)
