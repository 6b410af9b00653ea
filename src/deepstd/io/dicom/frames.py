"""Position, time and grey scale of each frame of a DICOM image.

    Image ─ functional groups, or the data set itself ─▶ Frame …

Enhanced objects keep these values in functional groups, per frame or shared (PS3.3 C.7.6.16).
Classic objects keep them on the data set itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.dicom import dose, mosaic
from deepstd.io.dicom.classes import is_dose
from deepstd.io.dicom.images import Image, numbers, text
from deepstd.io.dicom.modality_lut import scale_by_table
from deepstd.io.dicom.moments import moment_of
from deepstd.io.dicom.places import Place, axes_of, has_nuclear_slices, nuclear_place

if TYPE_CHECKING:
    from pydicom import Dataset

_POSITION = ("PlanePositionSequence", "PlanePositionVolumeSequence")
_ORIENTATION = ("PlaneOrientationSequence", "PlaneOrientationVolumeSequence")
_MEASURES = ("PixelMeasuresSequence",)
_RESCALE = ("PixelValueTransformationSequence",)


@dataclass(frozen=True)
class Frame:
    """A frame of a DICOM image.

    Attributes:
        image: object that the frame belongs to.
        number: index in the object, from 0.
        place: plane in the patient; None where position, orientation or spacing is not known.
        missing: names of the absent attributes among position, orientation and spacing.
        position: centre of the first pixel, LPS mm, or None.
        orientation: (2, 3) unit vectors along a row and down a column, or None.
        spacing: (between rows, between columns) in mm, or None.
        thickness: slice thickness in mm, or None.
        slope, intercept: from stored to real-world values.
        moment: values that sort frames at one position, time points among them.
        stack: *Stack ID* of an enhanced object, or empty.
    """

    image: Image
    number: int
    place: Place | None
    missing: tuple[str, ...]
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float
    intercept: float
    moment: tuple[float, ...]
    stack: str


def frames_of(image: Image) -> list[Frame]:
    """Return all frames of an object, in stored order.

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
        if image.grid == 1:
            return [_frame(image, index, table) for index in range(image.frames)]
        return _tiles(_frame(image, 0, table))
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
    is_of_doses = is_dose(text(image.dataset, "SOPClassUID"))
    if is_of_doses:
        slope, intercept = dose.scaling_of(image.dataset), None
    if slope == (0.0,):
        raise InputError("RescaleSlope is zero. The header is damaged")
    if spacing is not None and min(spacing) <= 0:
        raise InputError("PixelSpacing is not above zero. The header is damaged")
    both = None if spacing is None else (spacing[0], spacing[1])
    axes = None if orientation is None else axes_of(orientation)
    place = None
    if both is not None and has_nuclear_slices(image.dataset):
        place = nuclear_place(image.dataset, index, both)
    elif position is not None and axes is not None and both is not None:
        place = Place(np.asarray(position), axes, both)
        if is_of_doses:
            place = dose.place_of(image, index, place)
    told = {"Image Position": position, "Image Orientation": axes, "Pixel Spacing": both}
    return Frame(
        image,
        index,
        place,
        tuple(name for name, value in told.items() if value is None),
        None if position is None else np.asarray(position),
        axes,
        both,
        None if thickness is None else thickness[0],
        1.0 if slope is None else slope[0],
        0.0 if intercept is None else intercept[0],
        moment_of(image.dataset, index, partial(_parts, image.dataset, index)),
        _stack_id(image.dataset, index),
    )


def _tiles(plane: Frame) -> list[Frame]:
    """Return the slices of a mosaic, given its plane as one frame."""
    if plane.place is None:
        raise InputError(f"a mosaic without {', '.join(plane.missing)}: its slices have no place")
    places = mosaic.tile_places(plane.image, plane.place)
    return [replace(plane, number=k, place=place) for k, place in enumerate(places)]


def _stack_id(dataset: Dataset, index: int) -> str:
    for part in _parts(dataset, index, ("FrameContentSequence",)):
        if "StackID" in part:
            return str(part.StackID)
    return ""


def functional_groups(dataset: Dataset, index: int) -> list[Dataset]:
    """Return the functional groups of a frame: its own, then the shared ones; none if classic."""
    per_frame: Any = dataset.get("PerFrameFunctionalGroupsSequence")
    shared: Any = dataset.get("SharedFunctionalGroupsSequence")
    return ([per_frame[index]] if per_frame else []) + ([shared[0]] if shared else [])


def _parts(dataset: Dataset, index: int, groups: tuple[str, ...]) -> Iterator[Dataset]:
    """Yield the data sets that may hold a value of a frame: its groups, shared ones, the object."""
    for functional in functional_groups(dataset, index):
        for group in groups:
            items: Any = functional.get(group)
            if items:
                yield items[0]
    yield dataset
