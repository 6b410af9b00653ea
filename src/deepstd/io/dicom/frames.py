"""Where and when each frame of a DICOM image was taken, and on what grey scale.

    Image ─ functional groups, or the data set itself ─▶ Frame …

Enhanced objects keep these values in functional groups, per frame or shared (PS3.3 C.7.6.16);
classic ones on the data set itself. Coordinates are DICOM's own here: LPS, millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.dicom.images import Image, number, numbers
from deepstd.io.dicom.modality_lut import scale_by_table

if TYPE_CHECKING:
    from pydicom import Dataset

_ORTHONORMAL_WITHIN = 1e-3
_POSITION = ("PlanePositionSequence", "PlanePositionVolumeSequence")
_ORIENTATION = ("PlaneOrientationSequence", "PlaneOrientationVolumeSequence")
_MEASURES = ("PixelMeasuresSequence",)
_RESCALE = ("PixelValueTransformationSequence",)
# What tells frames at one place apart, in the order in which they are sorted by it.
_MOMENTS = (
    (("FrameContentSequence",), "TemporalPositionIndex"),
    ((), "TemporalPositionIdentifier"),
    (("CardiacSynchronizationSequence",), "NominalCardiacTriggerDelayTime"),
    ((), "TriggerTime"),
    (("MRDiffusionSequence",), "DiffusionBValue"),
    ((), "DiffusionBValue"),
    (("MREchoSequence",), "EffectiveEchoTime"),
    ((), "EchoTime"),
    ((), "AcquisitionNumber"),
    ((), "InstanceNumber"),
)


@dataclass(frozen=True)
class Place:
    """Where the pixels of a frame lie in the patient, in LPS mm.

    Attributes:
        position: of the centre of the first pixel.
        orientation: (2, 3) unit vectors along a row and down a column.
        spacing: (between rows, between columns).
    """

    position: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: the object it belongs to.
        number: its number in the object, from 0.
        place: None where position, orientation or spacing is not known.
        spacing: (between rows, between columns) in mm, or None.
        thickness: mm, or None.
        slope, intercept: from stored values to real-world ones.
        moment: sorts frames at one place.
    """

    image: Image
    number: int
    place: Place | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float
    intercept: float
    moment: tuple[float, ...]


def frames_of(image: Image) -> list[Frame]:
    """All frames of an object, in stored order.

    Raises:
        InputError: a value is damaged, or there are fewer functional groups than frames.
        UnsupportedFormatError: the grey scale is a table that is no straight line.
    """
    groups: Any = image.dataset.get("PerFrameFunctionalGroupsSequence")
    if groups and len(groups) != image.frames:
        raise InputError(
            f"{image.item.label}: {len(groups)} descriptions of frames for {image.frames} frames. "
            "It is damaged"
        )
    try:
        table = scale_by_table(image)
        return [_frame(image, index, table) for index in range(image.frames)]
    except (InputError, UnsupportedFormatError) as error:
        raise type(error)(f"{image.item.label}: {error}") from error


def _frame(image: Image, index: int, table: tuple[float, float] | None) -> Frame:
    def values(groups: tuple[str, ...], keyword: str, count: int) -> tuple[float, ...] | None:
        for part in _parts(image.dataset, index, groups):
            found = numbers(part, keyword, count)
            if found is not None:
                return found
        return None

    position = values(_POSITION, "ImagePositionPatient", 3)
    orientation = values(_ORIENTATION, "ImageOrientationPatient", 6)
    spacing = values(_MEASURES, "PixelSpacing", 2)
    thickness = values(_MEASURES, "SliceThickness", 1)
    slope, intercept = values(_RESCALE, "RescaleSlope", 1), values(_RESCALE, "RescaleIntercept", 1)
    if table is not None:
        slope, intercept = table[:1], table[1:]
    if slope == (0.0,):
        raise InputError("RescaleSlope is zero. The header is damaged")
    if spacing is not None and min(spacing) <= 0:
        raise InputError("PixelSpacing is not above zero. The header is damaged")
    both = None if spacing is None else (spacing[0], spacing[1])
    place = None
    if position is not None and orientation is not None and both is not None:
        place = Place(np.asarray(position), _axes(orientation), both)
    moments = [values(groups, keyword, 1) for groups, keyword in _MOMENTS]
    return Frame(
        image,
        index,
        place,
        both,
        None if thickness is None else thickness[0],
        1.0 if slope is None else slope[0],
        0.0 if intercept is None else intercept[0],
        tuple(-math.inf if m is None else m[0] for m in moments),
    )


def functional_groups(dataset: Dataset, index: int) -> list[Dataset]:
    """Return the functional groups of a frame: its own, then the shared ones; none if classic."""
    per_frame: Any = dataset.get("PerFrameFunctionalGroupsSequence")
    shared: Any = dataset.get("SharedFunctionalGroupsSequence")
    return ([per_frame[index]] if per_frame else []) + ([shared[0]] if shared else [])


def _parts(dataset: Dataset, index: int, groups: tuple[str, ...]) -> Iterator[Dataset]:
    """Where a value of a frame may stand: its own groups, the shared ones, the data set."""
    for functional in functional_groups(dataset, index):
        for group in groups:
            items: Any = functional.get(group)
            if items:
                yield items[0]
    yield dataset


def _axes(orientation: tuple[float, ...]) -> np.ndarray:
    axes = np.asarray(orientation).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > _ORTHONORMAL_WITHIN:
        raise InputError("ImageOrientationPatient is not two perpendicular unit vectors")
    return axes


def spacing_between_slices(image: Image) -> float | None:
    """*Spacing Between Slices*, where a classic object states it; it may be negative."""
    return number(image.dataset, "SpacingBetweenSlices")
