"""Conversion of scans between world coordinates and pictures.

    voxels (row, column[, slice]) of pictures ─ in_world ─▶ (column, row[, slice]), affine (RAS+ mm)
    voxels (i, j, k) with an affine ─ as_pictures ─▶ (row, column[, slice]), resolution

The conventions are SimpleITK's. The first axis of a picture runs along a row, the second down a
column, both along the axes of the world (LPS). Pixels have the size that the file states.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deepstd.io import dicom, picture_header
from deepstd.io.picture_header import MM_PER_INCH, Kept
from deepstd.volume import SourceHeader, Volume

# PNG states the resolution of a screen or printer, from which SimpleITK reads no millimetres.
_WITH_MILLIMETRES = ("tiff", "tiff-stack")


def in_world(volume: Volume) -> Volume:
    """Return a scan in the axes of formats with world coordinates.

    Pictures, and DICOM frames without a position in the patient, exchange rows and columns. They
    get an affine where their pixel size is known, and lose their header. Any other scan is returned
    unchanged.

    Raises:
        InputError: the header is damaged.
    """
    if volume.affine is not None or not _is_of_pictures(volume):
        return volume
    spacing, affine = _spacing(volume), None
    if spacing is not None:
        rows, columns, slices = spacing
        affine = np.diag([-columns, -rows, slices, 1.0])
    return Volume(volume.voxels.swapaxes(0, 1), affine, notes=volume.notes)


def as_pictures(volume: Volume, *, black_is_zero: bool = False) -> Volume:
    """Return a scan in the axes of PNG and TIFF; a single slice gives two axes.

    Args:
        volume: the scan.
        black_is_zero: whether the format cannot state that white is zero.

    Raises:
        InputError: the header is damaged.
    """
    if volume.source.format in picture_header.NAMES:
        return _inverted(volume) if black_is_zero else volume
    if volume.source.format == dicom.NAME:
        shown, spacing = dicom.picture(volume), volume.spacing or _spacing(volume)
        # A picture's spacing begins with the rows', a volume's with the columns'.
        columns_rows = spacing if volume.affine is not None else spacing and spacing[1::-1]
        return _with_resolution(shown, columns_rows)
    if volume.affine is None:
        return volume
    voxels = volume.voxels.swapaxes(0, 1)
    while voxels.ndim > 2 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return _with_resolution(Volume(voxels, notes=volume.notes), volume.spacing)


def as_stack(volume: Volume) -> Volume:
    """Return a scan in the axes of a folder of pictures: three where the scan has slices."""
    shown = as_pictures(volume, black_is_zero=volume.source.format != "tiff-stack")
    if shown.voxels.ndim == 2 and volume.voxels.ndim > 2:
        return replace(shown, voxels=shown.voxels[..., None])
    return shown


def _is_of_pictures(volume: Volume) -> bool:
    return volume.source.format in (dicom.NAME, *picture_header.NAMES)


def _spacing(volume: Volume) -> tuple[float, float, float] | None:
    """Return the distance between rows, columns and slices in mm of a scan without an affine, or
    None.
    """
    source = volume.source
    if source.format == dicom.NAME:
        return dicom.facts_of(source.raw).spacing_without_place
    if source.format in _WITH_MILLIMETRES:
        return picture_header.unpack(source.raw).spacing
    return None


def _with_resolution(shown: Volume, columns_rows: tuple[float, ...] | None) -> Volume:
    """Return pictures with a header that states the size of their pixels."""
    if columns_rows is None or min(columns_rows[:2]) <= 0:
        return shown
    columns, rows = columns_rows[:2]
    dpi = picture_header.plausible_dpi((MM_PER_INCH / columns, MM_PER_INCH / rows))
    return replace(shown, source=SourceHeader("tiff", picture_header.pack(Kept(dpi))))


def _inverted(volume: Volume) -> Volume:
    """Return pictures with black as zero."""
    kept = picture_header.unpack(volume.source.raw)
    if not kept.white or volume.voxels.dtype.kind != "u":
        return volume
    white = np.iinfo(volume.voxels.dtype).max
    source = replace(volume.source, raw=picture_header.pack(replace(kept, white=False)))
    return replace(volume, voxels=white - volume.voxels, source=source)
