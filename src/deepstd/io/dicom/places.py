"""Planes of frames in the patient.

    position, orientation, spacing ─▶ Place
    nuclear medicine: first slice, number of the slice, signed distance ─▶ Place
    Siemens mosaic: first tile, number of the tile, slice normal ─▶ Place

Coordinates are DICOM's own in this module: LPS, millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.images import number, numbers, text

if TYPE_CHECKING:
    from pydicom import Dataset

_ORTHONORMAL_WITHIN = 1e-3
_MOST_SLICES = 1 << 20  # bounds the work on a damaged header


@dataclass(frozen=True)
class Place:
    """Plane of pixels in the patient, in LPS mm.

    Attributes:
        position: (3,) centre of the first pixel.
        orientation: (2, 3) unit vectors along a row and down a column.
        spacing: (between rows, between columns).
        direction: 1 where slices are stacked along the cross product of row and column, -1 where
            they are stacked against it.
    """

    position: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float]
    direction: int = 1

    @property
    def normal(self) -> np.ndarray:
        """Unit vector from slice to slice, where the stack is not sheared."""
        return self.direction * np.cross(*self.orientation)

    def moved(self, distance: float) -> Place:
        """Return the plane moved by ``distance`` mm along the normal."""
        return replace(self, position=self.position + distance * self.normal)


def axes_of(orientation: Sequence[float]) -> np.ndarray:
    """Return *Image Orientation (Patient)* as (2, 3) unit vectors.

    Raises:
        InputError: the values are no perpendicular unit vectors.
    """
    axes = np.asarray(orientation).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > _ORTHONORMAL_WITHIN:
        raise InputError("ImageOrientationPatient is not two perpendicular unit vectors")
    return axes


def spacing_between_slices(dataset: Dataset) -> float | None:
    """Return *Spacing Between Slices*, where a classic object states it; it may be negative."""
    return number(dataset, "SpacingBetweenSlices")


def has_nuclear_slices(dataset: Dataset) -> bool:
    """Return whether the frames of a nuclear medicine object are slices (PS3.3 C.8.4.15)."""
    kinds: Any = dataset.get("ImageType") or []
    is_reconstructed = not isinstance(kinds, str) and any(str(k).startswith("RECON") for k in kinds)
    return text(dataset, "Modality") == "NM" and ("SliceVector" in dataset or is_reconstructed)


def nuclear_place(dataset: Dataset, index: int, spacing: tuple[float, float]) -> Place | None:
    """Return the plane of a slice of a nuclear medicine object, None where it is not stated.

    The object states the plane of its first slice and the distance between slices. The sign of the
    distance is positive where slices are stacked along the cross product of row and column.

    Args:
        dataset: data set of the object.
        index: index of the frame in the object.
        spacing: (between rows, between columns) in mm.

    Raises:
        InputError: a value is damaged.
    """
    detectors: Any = dataset.get("DetectorInformationSequence") or []
    detector = _of_vector(dataset, "DetectorVector", index, 1) - 1
    parts = [*detectors[detector : detector + 1], dataset]
    positions = [numbers(part, "ImagePositionPatient", 3) for part in parts]
    orientations = [numbers(part, "ImageOrientationPatient", 6) for part in parts]
    position = next(filter(None, positions), None)
    orientation = next(filter(None, orientations), None)
    distance = spacing_between_slices(dataset) or number(dataset, "SliceThickness")
    if position is None or orientation is None or not distance:
        return None
    direction = 1 if distance > 0 else -1
    first = Place(np.asarray(position), axes_of(orientation), spacing, direction)
    return first.moved(abs(distance) * (_of_vector(dataset, "SliceVector", index, index + 1) - 1))


def _of_vector(dataset: Dataset, keyword: str, index: int, otherwise: int) -> int:
    """Return the value of a vector for a frame, counted from 1."""
    values: Any = dataset.get(keyword)
    several = [values] if isinstance(values, int) else list(values or [])
    found = several[index] if index < len(several) else otherwise
    if not 1 <= found <= _MOST_SLICES:
        raise InputError(f"{keyword} is not counted from 1. The header is damaged")
    return int(found)
