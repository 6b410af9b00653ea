"""Groups of a stack's frames by quantity, each on a grey scale of its own.

    frames ─ image type, component, units ─┬ one grey scale, or one quantity ─▶ together
                                           └ else ─▶ a group each: magnitude, phase, …

Values of different quantities have no common scale: on a scale that spans a magnitude of millions,
a phase between −π and π vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.io.dicom.frames import Frame, functional_groups
from deepstd.io.dicom.images import text

if TYPE_CHECKING:
    from pydicom import Dataset

# Values 1 and 2 of Image Type state the origin of the pixels, the others their content (PS3.3
# C.7.6.1.1.2).
_ORIGIN_VALUES = 2
_TYPE, _ORIGIN = 0, 1
_UNSPECIFIED = "US"
_SAME_PLACE_DIGITS = 2  # decimals of positions in mm
Kind = tuple[str, ...]


def kind_of(frame: Frame) -> Kind:
    """Return the description of a frame's quantity; "" stands for each part that is not stated.

    Returns:
        Type of its pixels, values 1 and 2 of the image type, the others, complex image component,
        rescale type, units, units of the real world value mapping.
    """
    dataset = frame.image.dataset
    groups = functional_groups(dataset, frame.number)
    typed = [part for group in groups for part in _items(group) if "FrameType" in part]
    parts = [*typed, dataset]
    values: Any = next((part.FrameType for part in typed), dataset.get("ImageType"))
    several = [str(v).strip() for v in ([values] if isinstance(values, str) else values or [])]
    components = (text(part, "ComplexImageComponent") for part in parts)
    rescaled = (text(part, "RescaleType") for g in groups for part in _items(g))
    rescale_type = next(filter(None, [*rescaled, text(dataset, "RescaleType")]), "")
    return (
        frame.image.dtype.name,
        "\\".join(several[:_ORIGIN_VALUES]),
        "\\".join(several[_ORIGIN_VALUES:]),
        next(filter(None, components), ""),
        "" if rescale_type == _UNSPECIFIED else rescale_type,
        text(dataset, "Units"),
        next(filter(None, map(_mapped_units, [*groups, dataset])), ""),
    )


def apart(frames: Sequence[Frame]) -> list[tuple[str, list[Frame]]]:
    """Group frames of one stack by quantity, where quantities differ in slope and intercept.

    All parts of the description separate frames at one position. Other frames are separated only by
    parts that both state, since half of the slices of one volume may come from another program.

    Returns:
        For each group the text that separates it from the others, "" for a single group, and its
        frames.
    """
    if len({(f.slope, f.intercept, f.image.dtype) for f in frames}) == 1:
        return [("", list(frames))]
    kinds = [kind_of(frame) for frame in frames]
    same_scale = len({(frame.slope, frame.intercept) for frame in frames}) == 1
    telling = [
        number
        for number, said in enumerate(zip(*kinds, strict=True))
        if (number == _TYPE or not same_scale)
        and (
            _differ_in_one_place(frames, said)
            or (number not in (_TYPE, _ORIGIN) and len(set(said) - {""}) > 1)
        )
    ]
    groups: dict[Kind, list[Frame]] = {}
    for frame, kind in zip(frames, kinds, strict=True):
        groups.setdefault(tuple(kind[n] for n in telling), []).append(frame)
    return [(", ".join(filter(None, kind)), group) for kind, group in groups.items()]


def _differ_in_one_place(frames: Sequence[Frame], said: Sequence[str]) -> bool:
    """Return whether frames at one position differ in a part of their description."""
    seen: dict[tuple[float, ...], str] = {}
    for frame, words in zip(frames, said, strict=True):
        if frame.place is not None:
            place = tuple((np.round(frame.place.position, _SAME_PLACE_DIGITS) + 0.0).tolist())
            if seen.setdefault(place, words) != words:
                return True
    return False


def _items(group: Dataset) -> list[Dataset]:
    """Return the first items of the sequences of a functional group."""
    return [e.value[0] for e in group if e.VR == "SQ" and e.value]


def _mapped_units(part: Dataset) -> str:
    """Return the codes of the units of all Real World Value Mappings."""
    mappings: Any = part.get("RealWorldValueMappingSequence") or []
    units: list[Any] = [m.get("MeasurementUnitsCodeSequence") for m in mappings]
    return "/".join(filter(None, (text(unit[0], "CodeValue") for unit in units if unit)))
