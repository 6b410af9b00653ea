"""Slices whose header does not state their position.

    slices ─ Instance Number, or Slice Location ─▶ order, distance
           └ orientation and spacing where stated ─▶ Place at the origin

Single projections, and objects of several frames, are not stacked here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.gather import gathered
from deepstd.io.dicom.images import Image, number
from deepstd.io.dicom.moments import ORDINALS
from deepstd.io.dicom.mosaic import kinds_of
from deepstd.io.dicom.places import Place, spacing_between_slices

_SLICED = ("CT", "MR", "PT")
_AXIAL = np.eye(3)[:2]
_MOST_NAMED = 3


def is_slice(image: Image) -> bool:
    """Return whether an object may be one slice of a volume although its position is not stated."""
    is_scout = any(kind.startswith("LOCALIZER") for kind in kinds_of(image.dataset))
    return image.modality in _SLICED and image.frames == 1 and not is_scout


def missing_of(frames: Sequence[Frame]) -> str:
    """Return the attributes that the headers of frames lack, as text."""
    names = {name: None for frame in frames for name in frame.missing}
    return " and ".join(f"no {name}" for name in names)


def check_all_unplaced(frames: Sequence[Frame]) -> None:
    """Raise an InputError for frames of which only some state their position."""
    without = [frame for frame in frames if frame.place is None]
    if len(without) < len(frames):
        labels = [frame.image.item.label for frame in without]
        more = " …" if len(labels) > _MOST_NAMED else ""
        raise InputError(
            f"{len(without)} of {len(frames)} slices have {missing_of(without)}: "
            f"{', '.join(labels[:_MOST_NAMED])}{more}. Remove them, or complete them"
        )


def placed(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """Return slices in planes that are partly assumed, and notes on the assumptions.

    Raises:
        InputError: the order of the slices is not stated.
    """
    first = frames[0]
    spacing = first.spacing or (1.0, 1.0)
    if all(frame.position is not None and frame.orientation is not None for frame in frames):
        stack = [
            replace(frame, place=Place(frame.position, frame.orientation, spacing))
            for frame in frames
            if frame.position is not None and frame.orientation is not None
        ]
        return stack, [f"slices have {missing_of(frames)}: pixels are taken to be of 1 mm"]
    ordered, heights, told = _stacked(frames)
    axes = _AXIAL if first.orientation is None else first.orientation
    bottom = Place(np.zeros(3), axes, spacing)
    stack = [
        replace(frame, place=bottom.moved(height))
        for frame, height in zip(ordered, heights, strict=True)
    ]
    assumed = "at the origin" + (", axial" if first.orientation is None else "")
    assumed += "" if first.spacing else ", with pixels of 1 mm"
    note = (
        f"slices have {missing_of(frames)}: {told}. Restored to other formats they lie {assumed}, "
        "perhaps in reverse"
    )
    return stack, [note]


def _stacked(frames: Sequence[Frame]) -> tuple[list[Frame], list[float], str]:
    """Return slices in order, their heights in mm, and text on the source of the order."""
    locations = [number(frame.image.dataset, "SliceLocation") for frame in frames]
    located = [x for x in locations if x is not None]
    unclear = _unclear(frames)
    if unclear:
        if len(set(located)) < len(frames):
            raise InputError(
                f"{len(frames)} slices have {missing_of(frames)}, and neither Instance Number "
                f"({unclear}) nor Slice Location tells their order. Complete them"
            )
        pairs = sorted(zip(located, range(len(frames)), strict=True))
        heights = [x - pairs[0][0] for x, _ in pairs]
        return [frames[n] for _, n in pairs], heights, "sorted by Slice Location"
    order = sorted(range(len(frames)), key=lambda n: frames[n].moment[-1])
    ordered = [frames[n] for n in order]
    if len(located) == len(frames) and len(set(located)) > 1:
        heights = _agreeing([located[n] for n in order], ordered)
        if heights is not None:
            return ordered, heights, "sorted by Instance Number and Slice Location, which agree"
        told = "sorted by Instance Number, although Slice Location says another order"
    else:
        told = "sorted by Instance Number"
    return ordered, _even(ordered), told


def _agreeing(locations: list[float], ordered: list[Frame]) -> list[float] | None:
    """Return heights by location of frames in the order of their numbers, None if they disagree."""
    heights = np.asarray(locations) * (1 if locations[-1] > locations[0] else -1)
    heights -= heights.min()
    places = gathered(heights, [frame.moment for frame in ordered], ordered[0].thickness)
    firsts = [min(place) for place in places]
    if len({len(place) for place in places}) > 1 or firsts != sorted(firsts):
        return None
    return [float(x) for x in heights]


def _even(ordered: list[Frame]) -> list[float]:
    """Return heights of frames at the distance that their headers state, each phase from 0 on."""
    stated = spacing_between_slices(ordered[0].image.dataset) or ordered[0].thickness or 1.0
    counts: dict[tuple[float, ...], int] = defaultdict(int)
    heights = []
    for frame in ordered:
        phase = frame.moment[:ORDINALS]
        heights.append(counts[phase] * abs(stated))
        counts[phase] += 1
    return heights


def _unclear(frames: Sequence[Frame]) -> str:
    """Return the reason why *Instance Number* gives no order of frames, empty where it does."""
    labels: dict[float, str] = {}
    for frame in frames:
        label, told = frame.image.item.label, frame.moment[-1]
        if told == -math.inf:
            return f"{label} has none"
        if told in labels:
            return f"{label} has that of {labels[told]}"
        labels[told] = label
    return ""
