"""Stored values to the values they stand for: slope, intercept and unit of a scan's header.

Volume ─ slope and intercept of its header ─▶ the same scan in real-world values
header ─▶ how errors of stored values are stated: times the slope's size, with the unit
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deepstd.io import dicom, itk_geometry, nifti_scale, picture_header
from deepstd.io.nifti_header import NAMES as NIFTI_NAMES
from deepstd.volume import SourceHeader, Volume

Scale = tuple[float, float]
# How a format's header states slope and intercept; a format that is not here has none.
_SCALES: dict[str, Callable[[SourceHeader], Scale]] = {
    **dict.fromkeys(NIFTI_NAMES, nifti_scale.scale_of),
    **dict.fromkeys(itk_geometry.NAMES, itk_geometry.scale_of),
    **dict.fromkeys(picture_header.NAMES, picture_header.scale_of),
    dicom.NAME: dicom.scale_of,
}
_INTEGERS = (np.int16, np.int32)


def scale_of(source: SourceHeader) -> Scale:
    """Slope and intercept that a scan's header states; 1 and 0 where it states none.

    Raises:
        InputError: the header is damaged.
    """
    return _SCALES[source.format](source) if source.format in _SCALES else (1.0, 0.0)


@dataclass(frozen=True)
class ErrorScale:
    """How errors of stored values become errors of the values that they stand for.

    Attributes:
        slope: real-world units a stored unit, above zero.
        unit: of the real-world values, such as "HU"; None where it is not known.
    """

    slope: float = 1.0
    unit: str | None = None


def error_scale_of(source: SourceHeader) -> ErrorScale:
    """Return how errors of a scan with such a header are stated.

    Raises:
        InputError: the header is damaged.
    """
    slope, _ = scale_of(source)
    unit = dicom.unit_of(source) if source.format == dicom.NAME else None
    return ErrorScale(abs(slope), unit)


def requantised(volume: Volume) -> Volume:
    """Move restored voxels, in place, to the nearest values that their source can store.

    Only DICOM slices that are stored in different ways have fewer such values than their voxels'
    type.

    Raises:
        InputError: the header is damaged.
    """
    return dicom.requantised(volume) if volume.source.format == dicom.NAME else volume


def largest_step(volume: Volume) -> float:
    """Return the largest distance between neighbouring values that voxels can have.

    Voxels on different devices may be restored to either of two neighbours. 1 for integers, 0 for
    floats, but for DICOM slices that are stored in different ways the largest of all slices, in
    units of the voxels.

    Raises:
        InputError: the header is damaged.
    """
    if volume.source.format == dicom.NAME:
        return dicom.largest_step(volume)
    return 1.0 if volume.voxels.dtype.kind in "iu" else 0.0


def real_world(volume: Volume) -> Volume:
    """The scan with slope and intercept applied; the scan itself where there is nothing to apply.

    A scan that is changed has an empty header, as its own would have them applied once more.

    Raises:
        InputError: the header is damaged.
    """
    slope, intercept = scale_of(volume.source)
    if (slope, intercept) == (1.0, 0.0):
        return volume
    return Volume(rescaled(volume.voxels, slope, intercept), volume.affine)


def rescaled(voxels: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Voxels times slope plus intercept.

    Integers moved by a whole number stay integers, of 16 bits or else 32, where they fit. Anything
    else becomes float32, or float64 where it was.
    """
    if voxels.dtype.kind in "iu" and slope == 1 and intercept == np.rint(intercept):
        limits = [int(voxels.min()) + int(intercept), int(voxels.max()) + int(intercept)]
        for dtype in _INTEGERS:
            if np.iinfo(dtype).min <= limits[0] and limits[1] <= np.iinfo(dtype).max:
                # Two's complement: what overflows on the way comes back.
                return voxels.astype(dtype) + np.array(int(intercept) & 0xFFFFFFFF).astype(dtype)
    double = voxels.dtype.newbyteorder("=") == np.float64
    result = np.multiply(voxels, slope, dtype=np.float64)
    result += intercept
    return result if double else result.astype(np.float32)
