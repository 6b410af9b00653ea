"""Radiotherapy doses: scale and planes of the frames (PS3.3 C.8.8.3).

Dose Grid Scaling ─▶ slope, in Gy where Dose Units say so
first plane, Grid Frame Offset Vector ─▶ plane of each frame
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.images import Image, number, numbers, text

if TYPE_CHECKING:
    from pydicom import Dataset

    from deepstd.io.dicom.places import Place

_SAME_MM = 1e-2
_UNITS = {"GY": "Gy"}


def scaling_of(dataset: Dataset) -> tuple[float]:
    """Return the factor from stored values to doses.

    Raises:
        InputError: the factor is missing, or not above zero.
    """
    scaling = number(dataset, "DoseGridScaling")
    if scaling is None or scaling <= 0:
        raise InputError("DoseGridScaling is no number above zero. The header is damaged")
    return (scaling,)


def unit_of(dataset: Dataset) -> str | None:
    """Return "Gy", or None for doses relative to another."""
    return _UNITS.get(text(dataset, "DoseUnits").upper())


def place_of(image: Image, index: int, first: Place) -> Place | None:
    """Return the plane of a frame; None where an object of several frames states no offsets.

    Args:
        image: object of the class of doses.
        index: index of the frame, from 0.
        first: plane that the object states.

    Raises:
        InputError: there are other offsets than frames, or they begin elsewhere.
    """
    if image.frames == 1:
        return first
    offsets = numbers(image.dataset, "GridFrameOffsetVector", image.frames)
    if offsets is None:
        return None
    if offsets[0] == 0:
        return first.moved(offsets[index])
    # Other offsets are coordinates along the axis of the patient.
    if abs(offsets[0] - first.position[2]) > _SAME_MM:
        raise InputError(
            "GridFrameOffsetVector begins neither with 0 nor with the position of the first "
            "plane. The header is damaged"
        )
    return replace(first, position=np.array([*first.position[:2], offsets[index]]))
