"""Interpretation of kept headers: one table by source format.

SourceHeader ─ kind_of ─▶ Kind ─▶ affine, frames; checked, subsampled, cropped
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepstd.errors import InputError
from deepstd.io import array, dicom, itk_geometry, nifti, nifti_grid, picture_header
from deepstd.io.nifti_header import NAMES as NIFTI_NAMES
from deepstd.volume import SourceHeader, Volume

Shape = tuple[int, ...]
_NO_FRAMES = (1.0, 0.0)


def _no_affine(source: SourceHeader) -> None:
    return None


def _unchecked(source: SourceHeader, shape: Shape, dtype: np.dtype) -> None:
    return None


def _left_out(source: SourceHeader, shape: Shape, factors: Sequence[int]) -> SourceHeader:
    return replace(source, raw=b"")


def _left_out_of_part(source: SourceHeader, shape: Shape, spans: Sequence[range]) -> SourceHeader:
    return replace(source, raw=b"")


@dataclass(frozen=True)
class Kind:
    """Interpreter of the headers of one format.

    All functions may raise an InputError where a header is damaged. Affines are 4x4, voxel to RAS+
    mm.

    Attributes:
        affine_of: returns the affine that reading gives the scan, or None.
        placement_of: returns the affine that aligns the scan with a template, or None. It is a part
            of the file format.
        check: returns the affine of a header that describes voxels of this shape and type.
        subsampled: returns the header of a subsampled scan, given its shape and the factors.
        cropped: returns the header of a part of a scan, given the scan's shape and the indices.
        frames_of: returns the distance between frames and the position of the first.
    """

    affine_of: Callable[[SourceHeader], np.ndarray | None] = _no_affine
    placement_of: Callable[[SourceHeader], np.ndarray | None] = _no_affine
    check: Callable[[SourceHeader, Shape, np.dtype], np.ndarray | None] = _unchecked
    subsampled: Callable[[SourceHeader, Shape, Sequence[int]], SourceHeader] = _left_out
    frames_of: Callable[[SourceHeader], tuple[float, float]] = lambda source: _NO_FRAMES
    cropped: Callable[[SourceHeader, Shape, Sequence[range]], SourceHeader] = _left_out_of_part


def _dicom_affine(source: SourceHeader) -> np.ndarray | None:
    return dicom.facts_of(source.raw).matrix


def _check_array(source: SourceHeader, shape: Shape, dtype: np.dtype) -> None:
    array.check_header(source.raw, shape, dtype)


_NIFTI = Kind(
    nifti.affine_of,
    nifti.placement_of,
    nifti.check_header,
    nifti_grid.subsampled,
    nifti.frame_step_of,
    nifti_grid.cropped,
)
_ITK = Kind(
    itk_geometry.affine_of,
    itk_geometry.affine_of,
    lambda source, shape, dtype: itk_geometry.affine_of(source, len(shape)),
    lambda source, shape, factors: itk_geometry.subsampled(source, len(shape), factors),
    lambda source: itk_geometry.unpack(source.raw, None).geometry.frames,
    lambda source, shape, spans: itk_geometry.cropped(source, spans),
)
_DICOM = Kind(
    _dicom_affine,
    _dicom_affine,
    lambda source, shape, dtype: dicom.check(source.raw, shape),
    lambda source, shape, factors: dicom.subsampled(source, shape, factors),
    cropped=lambda source, shape, spans: dicom.cropped(source, shape, spans),
)
_PICTURE = Kind(
    subsampled=lambda source, shape, factors: picture_header.subsampled(source, factors),
    frames_of=lambda source: (picture_header.unpack(source.raw).frame or 1.0, 0.0),
    cropped=lambda source, shape, spans: picture_header.cropped(source, spans),
)
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(NIFTI_NAMES, _NIFTI),
    **dict.fromkeys(itk_geometry.NAMES, _ITK),
    dicom.NAME: _DICOM,
    **dict.fromkeys(picture_header.NAMES, _PICTURE),
    "npy": Kind(check=_check_array),
}


def kind_of(source: SourceHeader) -> Kind:
    """Return the interpreter of a header's format; that of an unknown format returns no affine."""
    return _KINDS.get(source.format, Kind())


def frames_of(volume: Volume) -> tuple[float, float]:
    """Return the distance between frames and the position of the first.

    Both are in seconds where the fourth axis is time. A scan of 2 or 3 axes gives 1 and 0.

    Raises:
        InputError: the header is damaged.
    """
    if volume.voxels.ndim < 4:
        return _NO_FRAMES
    return kind_of(volume.source).frames_of(volume.source)


def affine_of(source: SourceHeader) -> np.ndarray | None:
    """Return the affine (4x4, voxel to RAS+ mm) that `read` gives a scan with this header, or None.

    Raises:
        InputError: the header is damaged.
        GeometryError: the orientation is not finite.
    """
    return kind_of(source).affine_of(source)


def placement_of(source: SourceHeader) -> np.ndarray | None:
    """Return the affine (4x4, voxel to RAS+ mm) that aligns a scan with a template, or None.

    This affine is a part of the file format (docs/format.md). It differs from the result of
    `affine_of` only for NIfTI headers that need repairs.

    Raises:
        InputError: the header is damaged.
        GeometryError: the orientation is not finite.
    """
    return kind_of(source).placement_of(source)


def check_header(source: SourceHeader, shape: Shape, dtype: np.dtype) -> np.ndarray | None:
    """Return the affine of a header that describes voxels of this shape and type, or None.

    Raises:
        InputError: the header is damaged, or describes other voxels.
    """
    return kind_of(source).check(source, shape, dtype)


def subsampled(source: SourceHeader, shape: Shape, factors: Sequence[int]) -> SourceHeader:
    """Return the header of a scan that is subsampled from its first voxel on.

    Geometry and grey scale stay true. Items of single DICOM frames and the layout of a NumPy file
    are left out.

    Args:
        source: header of the whole scan.
        shape: shape after subsampling.
        factors: subsampling factor of each spatial axis, an integer.

    Raises:
        InputError: the header is damaged.
    """
    return kind_of(source).subsampled(source, shape, factors)


def cropped(source: SourceHeader, shape: Shape, spans: Sequence[range]) -> SourceHeader:
    """Return the header of a part of a scan, whose geometry stays true.

    Items of single DICOM frames and the layout of a NumPy file are left out.

    Args:
        source: header of the whole scan.
        shape: shape of the whole scan.
        spans: indices along each axis, ascending and not empty.

    Raises:
        InputError: the header is damaged.
    """
    return kind_of(source).cropped(source, shape, spans)


def with_own_header(volume: Volume) -> Volume:
    """Return the volume with a header that states its geometry.

    A volume with an affine and no header for it gets a NIfTI header.

    Raises:
        InputError: the header describes another scan, or no header can hold the geometry.
    """
    affine = check_header(volume.source, volume.shape, volume.voxels.dtype)
    if volume.affine is None:
        if affine is not None:
            raise InputError("the scan has no affine, its header has one. Give it that affine")
        return volume
    if affine is None:
        return nifti.with_fresh_header(volume)
    nifti.check_affine(volume.affine, affine)
    return volume
