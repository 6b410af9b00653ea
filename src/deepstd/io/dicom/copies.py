"""Copies of frames, and frames that only share a UID.

frames of one SOP Instance UID ┬ another position or time ─▶ all kept
                               └ equal position and time ─ pixels ┬ equal ─▶ one kept
                                                                  └ others ─▶ refused
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.images import Image, pixels

_PIECE = 1 << 20  # bytes compared at a time


def distinct(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames without later ones whose header describes an earlier frame."""
    return list({appearance(frame): frame for frame in reversed(frames)}.values())[::-1]


def without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """Return the frames without copies, and sentences about copies and shared UIDs.

    Raises:
        InputError: the headers of two frames describe the same frame, and their pixels differ.
    """
    kept: dict[Hashable, Frame] = {}
    same: set[tuple[int, int]] = set()
    for frame in frames:
        first = kept.setdefault(appearance(frame), frame)
        pair = (id(first.image), id(frame.image))
        if first.image is frame.image or pair in same:
            continue
        if not _same_pixels(first.image, frame.image):
            raise InputError(
                f"{first.image.item.label} and {frame.image.item.label} have one SOP Instance UID, "
                "position and number, but other pixels. Remove the one that does not belong here"
            )
        same.add(pair)
    notes = []
    copies = len(frames) - len(kept)
    if copies:
        notes.append(f"{copies} frames are there twice (the same instance): each is used once")
    sharing = _sharing(list(kept.values()))
    if sharing:
        notes.append(
            f"{sharing} frames share a SOP Instance UID with others of another position or time: "
            "all are used. The UIDs are not unique, as faulty anonymisation makes them"
        )
    return list(kept.values()), notes


def appearance(frame: Frame) -> Hashable:
    """Return the identity of a frame by its header, which is equal for copies."""
    place = frame.place
    told = () if place is None else (*place.position, *place.orientation.flat)
    return frame.image.instance, frame.number, tuple(map(float, told)), frame.moment


def _sharing(frames: Sequence[Frame]) -> int:
    by_uid: dict[Hashable, int] = defaultdict(int)
    for frame in frames:
        by_uid[frame.image.instance, frame.number] += 1
    return sum(count for count in by_uid.values() if count > 1)


def _same_pixels(one: Image, other: Image) -> bool:
    """Return whether two objects hold the same pixels; equal files are not decoded."""
    with one.item.open() as first, other.item.open() as second:
        while (piece := first.read(_PIECE)) == second.read(_PIECE):
            if not piece:
                return True
    return one.stored_shape == other.stored_shape and np.array_equal(pixels(one), pixels(other))
