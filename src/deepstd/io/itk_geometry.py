"""Kept parts of an NRRD or MetaImage header: geometry as ITK has it, scale, free fields.

    Kept ─ pack ─▶ SourceHeader.raw (JSON, empty by default) ─ unpack ─▶ Kept
    affine (RAS+ mm) ─ from_affine ─▶ Geometry (LPS) ─ affine ─▶ affine

Needs no SimpleITK.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deepstd.errors import GeometryError, InputError, UnsupportedFormatError
from deepstd.io.cropping import moved
from deepstd.volume import SourceHeader

NRRD, METAIMAGE = "nrrd", "metaimage"
NAMES = (NRRD, METAIMAGE)
NO_SCALE = (1.0, 0.0)  # slope and intercept
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_SMALLEST_DETERMINANT = 1e-9  # of the direction matrix; below it, the axes do not span space


@dataclass(frozen=True)
class Geometry:
    """Geometry of a scan in ITK's convention (LPS mm).

    Attributes:
        origin: position of the first voxel along each axis of the world, (axes,).
        spacing: voxel size along each voxel axis, (axes,).
        direction: unit vectors of the voxel axes as columns, (axes, axes).
    """

    origin: np.ndarray
    spacing: np.ndarray
    direction: np.ndarray

    @property
    def affine(self) -> np.ndarray:
        """Voxel-to-world matrix of the spatial axes, 4x4, RAS+ mm."""
        axes = min(len(self.origin), 3)
        affine = np.eye(4)
        affine[:axes, :axes] = self.direction[:axes, :axes] * self.spacing[:axes]
        affine[:axes, 3] = self.origin[:axes]
        affine[:3] *= _LPS_TO_RAS[:, None]
        affine[2, 2] = 1.0 if axes == 2 else affine[2, 2]
        return affine + 0.0  # no negative zeros

    @property
    def frames(self) -> tuple[float, float]:
        """Distance between frames and position of the first; 1 and 0 without a fourth axis."""
        if len(self.origin) < 4:
            return 1.0, 0.0
        return float(self.spacing[3]), float(self.origin[3])

    def with_frames(self, step: float, first: float) -> Geometry:
        """Return the geometry with this frame distance and first position on its fourth axis, if
        any.
        """
        if len(self.origin) < 4:
            return self
        origin, spacing = self.origin.copy(), self.spacing.copy()
        origin[3], spacing[3] = first, step
        return replace(self, origin=origin, spacing=spacing)


@dataclass(frozen=True)
class Kept:
    """Kept parts of a header.

    Attributes:
        geometry: geometry of all axes.
        fields: free key-value pairs.
        scale: slope and intercept that a MetaImage header states.
    """

    geometry: Geometry
    fields: dict[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = NO_SCALE


def affine_of(source: SourceHeader, axes: int | None = None) -> np.ndarray:
    """Return the voxel-to-world matrix of a kept header, 4x4 float64, RAS+ mm.

    Args:
        source: kept header of an NRRD or MetaImage file.
        axes: number of axes of the scan, where known; the header has to have as many.

    Raises:
        InputError: the header is damaged.
        GeometryError: the matrix is singular or not finite.
    """
    return unpack(source.raw, axes).geometry.affine


def scale_of(source: SourceHeader) -> tuple[float, float]:
    """Return slope and intercept of a kept header; 1 and 0 where the header states none.

    Raises:
        InputError: the header is damaged.
    """
    return unpack(source.raw, None).scale


def subsampled(source: SourceHeader, axes: int, factors: Sequence[int]) -> SourceHeader:
    """Return the header of a scan that is subsampled from its first voxel on.

    Args:
        source: kept header of the whole scan.
        axes: number of axes of the scan.
        factors: subsampling factor of each spatial axis, an integer.

    Raises:
        InputError: the header is damaged.
    """
    kept = unpack(source.raw, axes)
    spacing = kept.geometry.spacing.copy()
    spacing[: len(factors)] *= factors
    return SourceHeader(
        source.format, pack(replace(kept, geometry=replace(kept.geometry, spacing=spacing)))
    )


def cropped(source: SourceHeader, spans: Sequence[range]) -> SourceHeader:
    """Return the header of a part of a scan.

    Args:
        source: kept header of the whole scan.
        spans: indices along each axis, ascending and not empty.

    Raises:
        InputError: the header is damaged.
        GeometryError: the affine is singular.
    """
    axes = len(spans)
    part = on_grid(source, axes, moved(affine_of(source, axes), spans))
    if axes < 4:
        return part
    kept = unpack(part.raw, axes)
    kept.geometry.origin[3] += kept.geometry.spacing[3] * spans[3].start
    kept.geometry.spacing[3] *= spans[3].step
    return SourceHeader(source.format, pack(kept))


def on_grid(source: SourceHeader, axes: int, affine: np.ndarray) -> SourceHeader:
    """Return the header of a scan on another grid; a fourth axis is unchanged.

    Args:
        source: kept header of the scan.
        axes: number of axes of the scan.
        affine: voxel-to-world matrix of the other grid, 4x4, RAS+ mm.

    Raises:
        InputError: the header is damaged.
        GeometryError: the affine is singular.
    """
    kept = unpack(source.raw, axes)
    other = from_affine(affine, axes)
    other.origin[3:], other.spacing[3:] = kept.geometry.origin[3:], kept.geometry.spacing[3:]
    return SourceHeader(source.format, pack(replace(kept, geometry=other)))


def check(geometry: Geometry) -> None:
    """Check that a geometry is valid.

    Raises:
        GeometryError: voxel sizes, origin or directions are invalid, or the axes do not span space.
        UnsupportedFormatError: the fourth axis is not time.
    """
    parts = (geometry.origin, geometry.spacing, geometry.direction)
    if not all(np.isfinite(part).all() for part in parts) or (geometry.spacing <= 0).any():
        raise GeometryError("the voxel sizes, origin or directions are not finite and positive")
    if abs(np.linalg.det(geometry.direction)) < _SMALLEST_DETERMINANT:
        raise GeometryError("the directions of the axes do not span space (the matrix is singular)")
    if len(geometry.origin) == 4 and (
        geometry.direction[3, :3].any() or geometry.direction[:3, 3].any()
    ):
        raise UnsupportedFormatError("a scan whose fourth axis is not time is not supported")


def without_affine(axes: int) -> Geometry:
    """Return the geometry that ITK gives a scan without an affine."""
    return Geometry(np.zeros(axes), np.ones(axes), np.eye(axes))


def from_affine(affine: np.ndarray, axes: int) -> Geometry:
    """Return the geometry of an affine (4x4, RAS+ mm) in ITK's convention.

    A 2-D image outside the plane z = 0 becomes one slice of a 3-D scan.

    Raises:
        GeometryError: the affine is singular or not finite.
    """
    matrix = affine[:3] * _LPS_TO_RAS[:, None]
    flat = not matrix[2, [0, 1, 3]].any()
    size = axes if axes > 2 or flat else 3
    spatial = min(size, 3)
    origin, spacing, direction = np.zeros(size), np.ones(size), np.eye(size)
    origin[:spatial] = matrix[:spatial, 3]
    spacing[:spatial] = np.linalg.norm(matrix[:spatial, :spatial], axis=0)
    if (spacing == 0).any():
        raise GeometryError("the affine is singular: an axis has no length. Correct it first")
    direction[:spatial, :spatial] = matrix[:spatial, :spatial] / spacing[:spatial]
    geometry = Geometry(origin, spacing, direction)
    check(geometry)
    return geometry


def pack(kept: Kept) -> bytes:
    """Return the parts that differ from their defaults as compact JSON; empty where none does."""
    geometry, axes = kept.geometry, len(kept.geometry.origin)
    told: dict[str, Any] = {}
    for name, values, default in (
        ("origin", geometry.origin, np.zeros(axes)),
        ("spacing", geometry.spacing, np.ones(axes)),
        ("direction", geometry.direction.ravel(), np.eye(axes).ravel()),
        ("scale", np.array(kept.scale), np.array(NO_SCALE)),
    ):
        if not np.array_equal(values, default):
            told[name] = [int(v) if v == int(v) and abs(v) < 2**53 else v for v in values.tolist()]
    if kept.fields:
        told["fields"] = kept.fields
    return json.dumps(told, separators=(",", ":")).encode() if told else b""


def unpack(raw: bytes, axes: int | None) -> Kept:
    """Parse a kept header.

    Args:
        raw: JSON, or empty for the defaults.
        axes: number of axes of the scan; None to take it from the header.

    Raises:
        InputError: the header is damaged.
        GeometryError: the matrix is singular or not finite.
    """
    try:
        told = json.loads(raw) if raw else {}
        if not isinstance(told, dict):
            raise TypeError("not an object")
        axes = _axes_of(told) if axes is None else axes
        geometry = Geometry(
            _numbers(told.get("origin", [0] * axes), axes),
            _numbers(told.get("spacing", [1] * axes), axes),
            _numbers(told.get("direction", np.eye(axes).ravel().tolist()), axes**2).reshape(
                axes, axes
            ),
        )
        slope, intercept = _numbers(told.get("scale", NO_SCALE), 2).tolist()
        fields = told.get("fields", {})
        if not all(isinstance(text, str) for pair in fields.items() for text in pair):
            raise TypeError("a field is not text")
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"the scan's header is damaged ({error})") from error
    check(geometry)
    return Kept(geometry, fields, (slope, intercept))


def _axes_of(told: dict[str, Any]) -> int:
    for name in ("origin", "spacing"):
        if name in told:
            return len(told[name])
    return math.isqrt(len(told.get("direction", range(9))))


def _numbers(values: Any, count: int) -> np.ndarray:
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"expected {count} finite numbers")
    return np.array(numbers)
