"""What is kept of an NRRD or MetaImage header: geometry as ITK has it, scale, free fields.

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
from deepstd.volume import SourceHeader

NRRD, METAIMAGE = "nrrd", "metaimage"
NAMES = (NRRD, METAIMAGE)
NO_SCALE = (1.0, 0.0)
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_SMALLEST_DETERMINANT = 1e-9


@dataclass(frozen=True)
class Geometry:
    """As ITK has it: LPS millimetres; ``direction`` has one row an axis of space."""

    origin: np.ndarray
    spacing: np.ndarray
    direction: np.ndarray

    @property
    def affine(self) -> np.ndarray:
        """4x4 matrix in RAS+ millimetres of the spatial axes."""
        axes = min(len(self.origin), 3)
        affine = np.eye(4)
        affine[:axes, :axes] = self.direction[:axes, :axes] * self.spacing[:axes]
        affine[:axes, 3] = self.origin[:axes]
        affine[:3] *= _LPS_TO_RAS[:, None]
        affine[2, 2] = 1.0 if axes == 2 else affine[2, 2]
        return affine + 0.0  # no negative zeros

    @property
    def frames(self) -> tuple[float, float]:
        """Distance between frames and place of the first; 1 and 0 where there are none."""
        if len(self.origin) < 4:
            return 1.0, 0.0
        return float(self.spacing[3]), float(self.origin[3])

    def with_frames(self, step: float, first: float) -> Geometry:
        """The same, of the spatial axes, with such a fourth axis if it has one."""
        if len(self.origin) < 4:
            return self
        origin, spacing = self.origin.copy(), self.spacing.copy()
        origin[3], spacing[3] = first, step
        return replace(self, origin=origin, spacing=spacing)


@dataclass(frozen=True)
class Kept:
    """What is kept of a header.

    Attributes:
        geometry: of all axes.
        fields: free key-value pairs.
        scale: slope and intercept that MetaImage states.
    """

    geometry: Geometry
    fields: dict[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = NO_SCALE


def affine_of(source: SourceHeader, axes: int | None = None) -> np.ndarray:
    """Return the affine, 4x4 float64, RAS+ millimetres, that a kept header says.

    Args:
        source: header as `itk.read_nrrd` and `itk.read_metaimage` keep it.
        axes: of the scan, where known: another number in the header is then an error.

    Raises:
        InputError: the header is damaged.
        GeometryError: its matrix is singular or not finite.
    """
    return unpack(source.raw, axes).geometry.affine


def scale_of(source: SourceHeader) -> tuple[float, float]:
    """Return slope and intercept of a kept header; 1 and 0 where it states none.

    Raises:
        InputError: the header is damaged.
    """
    return unpack(source.raw, None).scale


def subsampled(source: SourceHeader, axes: int, factors: Sequence[int]) -> SourceHeader:
    """Return the header of a scan of which every so many-th voxel is left, the first among them.

    Raises:
        InputError: the header is damaged.
    """
    kept = unpack(source.raw, axes)
    spacing = kept.geometry.spacing.copy()
    spacing[: len(factors)] *= factors
    return SourceHeader(
        source.format, pack(replace(kept, geometry=replace(kept.geometry, spacing=spacing)))
    )


def on_grid(source: SourceHeader, axes: int, affine: np.ndarray) -> SourceHeader:
    """Return the header of a scan on another grid; a fourth axis stays as it is.

    Raises:
        InputError: the header is damaged.
        GeometryError: the affine is singular.
    """
    kept = unpack(source.raw, axes)
    other = from_affine(affine, axes)
    other.origin[3:], other.spacing[3:] = kept.geometry.origin[3:], kept.geometry.spacing[3:]
    return SourceHeader(source.format, pack(replace(kept, geometry=other)))


def check(geometry: Geometry) -> None:
    """Raise GeometryError where a geometry is none, UnsupportedFormatError where it has no time."""
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
    """Return ITK's geometry of a scan that has none."""
    return Geometry(np.zeros(axes), np.ones(axes), np.eye(axes))


def from_affine(affine: np.ndarray, axes: int) -> Geometry:
    """Return ITK's view of an affine; an image that is not in the plane z = 0 becomes a slice.

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
    """Return compact JSON of what is not as it is by default; empty where nothing is."""
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
    """Return what a kept header says; raises as `affine_of`."""
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
