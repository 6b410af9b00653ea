"""Affine of a NIfTI header, with the standard's repairs.

    header ─ sform, else qform, else voxel sizes alone ─▶ affine (RAS+ mm), notes

nibabel and SimpleITK read most headers alike. They differ in these cases:

- Both forms given and different: the sform, as nibabel. SimpleITK takes the qform unless the
  sform's code is 1, and voxel sizes always from pixdim.
- Neither given: voxel sizes along the axes from the origin (method 1 of the standard, which says
  that no orientation is attached), as SimpleITK. nibabel centres the scan and turns its first axis.
- Lengths in metres or micrometres: converted to millimetres, as SimpleITK; nibabel leaves them.
- pixdim of the spatial axes negative beside a qform: the size without its sign, as nibabel.
- A slope of 0: no scale, as the standard and nibabel; SimpleITK adds the intercept all the same.

Invalid numbers are repaired as by the standard's own library (nifti1_io.c). pixdim[0] counts by its
sign, 0 being positive. Sizes that are 0 or not finite are 1. Quaternions and offsets that are not
finite are 0. A quaternion longer than 1 is normalised. A form that spans no space is ignored.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_MILLIMETRES = {1: 1e3, 2: 1.0, 3: 1e-3}  # xyzt_units: metre, millimetre, micrometre
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}  # xyzt_units: second, millisecond, microsecond
_SMALLEST_VOLUME = 1e-9  # between unit vectors; below it, the axes span no space
# Between unit vectors, allowing for rounding only.
_SMALLEST_STATED_VOLUME = 1e-12
# Differences in mm, and relative ones of voxel sizes, below which SimpleITK takes two forms as
# equal.
_ALIKE_WITHIN = 1e-3
_SIZE_ALIKE_WITHIN = 1e-3
# Excess of a quaternion's squared length that nibabel tolerates.
_NIBABEL_TOLERANCE = 3 * float(np.finfo(np.float32).eps)
_QUATERNION = ("quatern_b", "quatern_c", "quatern_d")
_OFFSETS = ("qoffset_x", "qoffset_y", "qoffset_z")


class Placed(NamedTuple):
    """Affine of a scan, with notes.

    Attributes:
        affine: voxel-to-world matrix, 4x4 float64, RAS+ mm, finite.
        notes: sentences for users.
    """

    affine: np.ndarray
    notes: tuple[str, ...]


def millimetres_of(header: Nifti1Header) -> float:
    """Return the header's unit of length in mm; 1 where it states none."""
    return _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)


def placed(header: Nifti1Header) -> Placed:
    """Return the affine of a header, repaired where the header is invalid."""
    shape = [int(n) for n in header["dim"][1 : 1 + max(int(header["dim"][0]), 1)]]
    scale = millimetres_of(header)
    to_mm = np.diag([scale, scale, scale, 1.0])
    sizes = _sizes(header, len(shape)) * scale
    sform = qform = None
    notes: list[str] = []
    if int(header["qform_code"]) > 0:
        qform, notes = _qform(header)
        qform = to_mm @ qform
    if int(header["sform_code"]) > 0:
        sform = _sform(header)
        if sform is None:
            notes.append("the sform in the header spans no space: passed over")
    if sform is not None:
        affine = to_mm @ sform
        notes = _disagreement(affine, qform, sizes, shape)
    elif qform is not None:
        affine = qform
    else:
        affine = np.diag([-sizes[0], -sizes[1], sizes[2], 1.0])
        notes.append(
            "the header has no orientation (qform_code = sform_code = 0): voxels lie along the "
            "axes from the origin, as SimpleITK reads them; nibabel centres the scan and turns its "
            "first axis"
        )
    if scale != 1.0:
        unit = "metres" if scale > 1 else "micrometres"
        notes.append(
            f"lengths in the header are {unit}: read as millimetres, as SimpleITK does; nibabel "
            "leaves them"
        )
    if len(shape) == 2 and affine[2, [0, 1, 3]].any():
        notes.append(
            "the image does not lie in the plane z = 0: its place is kept, as nibabel does; "
            "SimpleITK reads it without its third coordinate"
        )
    return Placed(affine + 0.0, tuple(notes))


def stated_affine(header: Nifti1Header) -> np.ndarray | None:
    """Return nibabel's affine of an unrepaired header; None where it is missing or singular.

    Files of format version 4 align scans with templates by it (docs/format.md).
    """
    from nibabel.spatialimages import HeaderDataError

    try:
        with np.errstate(all="ignore"):
            affine = np.array(header.get_best_affine(), dtype=np.float64)
            affine[:3] *= millimetres_of(header)
    except (HeaderDataError, ValueError, ArithmeticError):
        return None
    axes = min(int(header["dim"][0]), 3)
    spans = np.isfinite(affine).all() and _volume(affine, axes) > _SMALLEST_STATED_VOLUME
    return affine if spans else None


def scale_notes(header: Nifti1Header) -> tuple[str, ...]:
    """Return notes for users on a header's slope and intercept (see `nifti_scale`)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        if not math.isfinite(intercept) or intercept == 0:
            return ()
        return (
            f"the header's slope is {slope:g}, which means no scale: its intercept of "
            f"{intercept:g} is not applied, which SimpleITK does all the same",
        )
    if math.isfinite(intercept):
        return ()
    return (
        "the header's intercept is not finite: read as 0, as SimpleITK does; nibabel refuses it",
    )


def frame_step(header: Nifti1Header) -> tuple[float, float]:
    """Return the distance between frames and the position of the first.

    Both are in seconds where the fourth axis is time. Invalid numbers give 1 and 0.
    """
    scale = _SECONDS.get(int(header["xyzt_units"]) & 56, 1.0)
    step, first = abs(float(header["pixdim"][4])), float(header["toffset"])
    step = step if math.isfinite(step) and step else 1.0
    return step * scale, (first if math.isfinite(first) else 0.0) * scale


def _sizes(header: Nifti1Header, axes: int) -> np.ndarray:
    """Return signed voxel sizes along three axes; 1 where a size is 0 or not finite."""
    sizes = np.array(header["pixdim"][1:4], dtype=np.float64)
    sizes[~np.isfinite(sizes) | (sizes == 0)] = 1.0
    sizes[axes:] = np.abs(sizes[axes:])
    return sizes


def _sform(header: Nifti1Header) -> np.ndarray | None:
    """Return the sform; None where it is not finite or its axes do not span space."""
    with np.errstate(all="ignore"):
        affine = np.array(header.get_sform(), dtype=np.float64)
    if not np.isfinite(affine).all():
        return None
    axes = min(int(header["dim"][0]), 3)
    if axes < 3 and not affine[:3, axes:3].any():
        affine[:3, 2] = np.cross(*_unit(affine[:3, :2]).T)
    return affine if _volume(affine, axes) > _SMALLEST_VOLUME else None


def _qform(header: Nifti1Header) -> tuple[np.ndarray, list[str]]:
    """Return the qform of a repaired header, and notes on its repairs."""
    repaired = header.copy()
    notes: list[str] = []
    declared = np.array(header["pixdim"][:4], dtype=np.float64)
    repaired["pixdim"][0] = -1.0 if declared[0] < 0 else 1.0
    if declared[0] < 0 and declared[0] != -1:
        notes.append(
            f"pixdim[0] in the header is {declared[0]:g}: read by its sign, as SimpleITK does; "
            "nibabel takes it for 1"
        )
    axes = min(int(header["dim"][0]), 3)
    sizes = _sizes(header, axes)
    repaired["pixdim"][1:4] = np.abs(sizes)
    if (sizes < 0).any():
        notes.append(
            "voxel sizes in the header are negative: read without their signs, as nibabel does; "
            "SimpleITK mirrors these axes"
        )
    wrong = ~np.isfinite(declared[1 : 1 + axes]) | (declared[1 : 1 + axes] == 0)
    quaternion = np.array([float(header[name]) for name in _QUATERNION])
    offset = np.array([float(header[name]) for name in _OFFSETS])
    for names, values in ((_QUATERNION, quaternion), (_OFFSETS, offset)):
        wrong = np.append(wrong, ~np.isfinite(values))
        values[~np.isfinite(values)] = 0.0
        for name, value in zip(names, values, strict=True):
            repaired[name] = value
    length = math.hypot(*quaternion)
    if length**2 > 1 + _NIBABEL_TOLERANCE:
        notes.append(
            f"the quaternion in the header has a length of {length:.6g}: read as 1, as SimpleITK "
            "does; nibabel refuses it"
        )
        for name, value in zip(_QUATERNION, quaternion / length, strict=True):
            repaired[name] = value
    if wrong.any():
        notes.append(
            "voxel sizes, quaternion or offsets in the header are 0 or not finite: read as the "
            "NIfTI library does (sizes as 1, the others as 0)"
        )
    return np.array(repaired.get_qform(), dtype=np.float64), notes


def _disagreement(
    sform: np.ndarray, qform: np.ndarray | None, sizes: np.ndarray, shape: list[int]
) -> list[str]:
    """Return a note where SimpleITK would not follow the sform."""
    spatial = min(len(shape), 3)
    if qform is not None:
        corners = np.array(np.meshgrid(*[(0, max(n - 1, 1)) for n in shape[:spatial]]))
        corners = corners.reshape(spatial, -1)
        distances = (sform - qform)[:3, :spatial] @ corners + (sform - qform)[:3, 3:]
        farthest = float(np.linalg.norm(distances, axis=0).max())
        if farthest > _ALIKE_WITHIN:
            return [
                f"sform and qform in the header differ, by up to {farthest:.3g} mm: the sform is "
                "followed, as nibabel does; SimpleITK may follow the qform"
            ]
    lengths = np.linalg.norm(sform[:3, :spatial], axis=0)
    if not np.allclose(lengths, np.abs(sizes[:spatial]), rtol=_SIZE_ALIKE_WITHIN):
        return [
            "voxel sizes of sform and pixdim in the header differ: the sform is followed, as "
            "nibabel does; SimpleITK follows pixdim"
        ]
    return []


def _unit(columns: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(columns, axis=0)
    return columns / np.where(lengths > 0, lengths, 1.0)


def _volume(affine: np.ndarray, axes: int) -> float:
    """Return the volume between unit vectors along the first axes; 0 for an axis of no length."""
    with np.errstate(all="ignore"):
        units = _unit(affine[:3, :axes])
        return math.sqrt(max(float(np.linalg.det(units.T @ units)), 0.0))
