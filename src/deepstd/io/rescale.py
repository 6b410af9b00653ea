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


@dataclass(frozen=True)
class _Kind:
    """Interpreter of the grey scale of one format; without frames on different scales.

    Attributes:
        scale_of: reads slope and intercept of a header.
        unit_of: reads the unit of the real-world values, or returns None.
        has_own_scales: tells whether frames are on different scales.
        requantised: moves voxels to the nearest values that the source can store.
        stored_values: returns the values that the files store, where voxels are others.
        stored_type: returns the type of these values.
        voxels_of: returns the voxels of these values.
        largest_step: returns the largest distance between neighbouring values.
    """

    scale_of: Callable[[SourceHeader], Scale] = lambda source: (1.0, 0.0)
    unit_of: Callable[[SourceHeader], str | None] = lambda source: None
    has_own_scales: Callable[[SourceHeader], bool] = lambda source: False
    requantised: Callable[[Volume], Volume] = lambda volume: volume
    stored_values: Callable[[Volume], np.ndarray | None] = lambda volume: None
    stored_type: Callable[[SourceHeader], np.dtype | None] = lambda source: None
    voxels_of: Callable[[np.ndarray, SourceHeader, np.dtype], np.ndarray] = (
        lambda values, source, dtype: values
    )
    largest_step: Callable[[Volume], float] = lambda volume: float(volume.voxels.dtype.kind in "iu")


_KINDS = {
    **dict.fromkeys(NIFTI_NAMES, _Kind(nifti_scale.scale_of)),
    **dict.fromkeys(itk_geometry.NAMES, _Kind(itk_geometry.scale_of)),
    **dict.fromkeys(picture_header.NAMES, _Kind(picture_header.scale_of)),
    dicom.NAME: _Kind(
        dicom.scale_of,
        dicom.unit_of,
        lambda source: dicom.facts_of(source.raw).stored is not None,
        dicom.requantised,
        dicom.stored_values,
        dicom.stored_type,
        dicom.voxels_of,
        dicom.largest_step,
    ),
}


def _kind_of(source: SourceHeader) -> _Kind:
    return _KINDS.get(source.format, _Kind())


_INTEGERS = (np.int16, np.int32)  # types of shifted integers, the narrower one first


def scale_of(source: SourceHeader) -> Scale:
    """Return slope and intercept of a scan's header; 1 and 0 where the header states none.

    Raises:
        InputError: the header is damaged.
    """
    return _kind_of(source).scale_of(source)


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
    return ErrorScale(abs(slope), _kind_of(source).unit_of(source))


def has_own_scales(source: SourceHeader) -> bool:
    """Return whether the frames of a scan with this header are on different scales.

    Raises:
        InputError: the header is damaged.
    """
    return _kind_of(source).has_own_scales(source)


def requantised(volume: Volume) -> Volume:
    """Move restored voxels, in place, to the nearest values that their source can store.

    Only DICOM slices on different scales can store fewer values than the type of their voxels.

    Raises:
        InputError: the header is damaged.
    """
    return _kind_of(volume.source).requantised(volume)


def stored_values(volume: Volume) -> np.ndarray | None:
    """Return the values that the files of a scan store, where voxels are others.

    Only DICOM slices on different scales are not stored as their voxels are.

    Returns:
        an array of the scan's shape from which `voxels_of` makes the voxels bit for bit, or None.

    Raises:
        InputError: the header is damaged.
    """
    return _kind_of(volume.source).stored_values(volume)


def stored_type(source: SourceHeader) -> np.dtype | None:
    """Return the type of `stored_values` of a scan with this header; None where there are none.

    Raises:
        InputError: the header is damaged.
    """
    return _kind_of(source).stored_type(source)


def voxels_of(values: np.ndarray, source: SourceHeader, dtype: np.dtype) -> np.ndarray:
    """Return the voxels of `stored_values`.

    Args:
        values: array of the scan's shape and `stored_type`.
        source: header of the scan.
        dtype: type of its voxels.

    Raises:
        InputError: the header is damaged.
    """
    return _kind_of(source).voxels_of(values, source, dtype)


def largest_step(volume: Volume) -> float:
    """Return the largest distance between neighbouring values that voxels can have.

    Different devices may restore a voxel to either of two neighbours. The distance is 1 for
    integers and 0 for floats. For DICOM slices on different scales it is the largest of all slices,
    in units of the voxels.

    Raises:
        InputError: the header is damaged.
    """
    return _kind_of(volume.source).largest_step(volume)


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
