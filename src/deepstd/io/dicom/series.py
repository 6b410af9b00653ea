"""Series: the scans among DICOM files.

    items ─ headers ─▶ images ─ by series, size, orientation, quantity ─▶ Series …
                  ├▶ no grey images: refused
                  └▶ damaged: kept with their series, so that it does not count as complete

A series on the scanner may hold several stacks (localizers in three planes) or single projections.
It may also hold images of several quantities on scales of their own (magnitude and phase). Each of
them is a `Series` here, with an id that reveals nothing of the patient.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from deepstd.errors import (
    DeepSTDError,
    InputError,
    MissingExtraError,
    UnsupportedFormatError,
)
from deepstd.io.dicom.copies import appearance
from deepstd.io.dicom.frames import Frame, frames_of
from deepstd.io.dicom.images import Image, header, series_of, text
from deepstd.io.dicom.items import Item, begins_as_dicom
from deepstd.io.dicom.kinds import apart, kind_of
from deepstd.io.dicom.mosaic import unpacked
from deepstd.io.dicom.places import Place
from deepstd.io.dicom.unplaced import is_slice

_SAME_DIRECTION = 1e-3  # of unit vectors
_SAME_SPACING = 1e-4  # relative
_ID_DIGITS = 8  # hexadecimal: 32 bits


@dataclass(frozen=True)
class Series:
    r"""Frames that may form one volume.

    Attributes:
        id: eight hexadecimal digits, the same wherever these files lie.
        frames: frames of the series, unsorted.
        damaged: unusable items that state this series, with the error.
        kind: text that separates its quantity from others in the same series, such as
            "M_FFE\\M\\FFE"; empty where there is no other.
    """

    id: str
    frames: list[Frame]
    damaged: dict[Item, DeepSTDError]
    kind: str = ""

    @property
    def image(self) -> Image:
        """First object of the series."""
        return self.frames[0].image

    @property
    def items(self) -> list[Item]:
        """Files in the order of the frames, each once, then the damaged ones."""
        return list(dict.fromkeys([f.image.item for f in self.frames] + list(self.damaged)))


@dataclass(frozen=True)
class Found:
    """Result of `find`.

    Attributes:
        series: series found, in the order of their first files.
        refused: DICOM objects that are no grey images, with the error.
        unreadable: damaged DICOM objects of no known series, with the error.
        others: files that are not DICOM.
    """

    series: list[Series]
    refused: dict[Item, DeepSTDError]
    unreadable: dict[Item, DeepSTDError]
    others: list[Item]


@dataclass
class _Stack:
    """Frames of a stack found so far, with their common ``key``, ``place`` and ``stack``."""

    series: str
    key: tuple[object, ...]
    place: Place | None
    frames: list[Frame]
    stack: str = ""
    kind: str = ""

    def takes(self, frame: Frame) -> bool:
        place = frame.place
        if self.place is None or place is None:
            return self.place is place and self._is_turned_alike(frame)
        turned = np.abs(self.place.orientation - place.orientation).max() > _SAME_DIRECTION
        return not turned and np.allclose(self.place.spacing, place.spacing, rtol=_SAME_SPACING)

    def _is_turned_alike(self, frame: Frame) -> bool:
        own, other = self.frames[0].orientation, frame.orientation
        if own is None or other is None:
            return own is other
        return bool(np.abs(own - other).max() <= _SAME_DIRECTION)


def find(items: Iterable[Item]) -> Found:
    """Read the headers of all files and sort their frames into series.

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    stacks: dict[tuple[object, ...], list[_Stack]] = defaultdict(list)
    refused: dict[Item, DeepSTDError] = {}
    damaged: dict[Item, tuple[str | None, DeepSTDError]] = {}
    others: list[Item] = []
    for item in items:
        series = None
        try:
            if not begins_as_dicom(item.head()):
                others.append(item)
                continue
            dataset = header(item)
            series = series_of(item, dataset)
            _place(stacks, frames_of(unpacked(Image.of(item, dataset))))
        except MissingExtraError:
            raise
        except UnsupportedFormatError as error:
            refused[item] = error
        except DeepSTDError as error:
            damaged[item] = (series, error)
        except OSError as error:
            reason = InputError(f"{item.label}: {error.strerror or error}")
            damaged[item] = (None, reason)
    found = [
        replace(stack, kind=kind, frames=frames)
        for some in stacks.values()
        for whole in _joined(some)
        for stack in _split(whole)
        for kind, frames in apart(stack.frames)
    ]
    known = {stack.series for stack in found}
    return Found(
        [
            Series(
                name,
                stack.frames,
                {i: e for i, (s, e) in damaged.items() if s == stack.series},
                stack.kind,
            )
            for name, stack in zip(_ids(found), found, strict=True)
        ],
        refused,
        {i: e for i, (s, e) in damaged.items() if s not in known},
        others,
    )


def choose(found: Found, wanted: str | None, where: str) -> Series:
    """Return the only series, or the series of the id that is asked for.

    Args:
        found: series among the files.
        wanted: id of a series, or None.
        where: name of the files in messages.

    Raises:
        InputError: there is no series, or none of that id, or several and no id is given.
    """
    known = ", ".join(f"{s.id} ({describe(s)})" for s in found.series)
    if not found.series:
        raise InputError(f"{where}: no image to compress. {_refusals(found)}")
    if wanted is not None:
        for series in found.series:
            if series.id == wanted.lower():
                return series
        raise InputError(f"{where}: there is no series {wanted}. There are: {known}")
    if len(found.series) > 1:
        raise InputError(f"{where}: several series. Choose one with --series: {known}")
    return found.series[0]


def describe(series: Series) -> str:
    """Return modality, quantity and size as text, which cannot identify the patient."""
    image = series.image
    what = f"{image.modality} {series.kind}".rstrip()
    return f"{what}, {len(series.frames)} frames of {image.columns} x {image.rows}"


def _refusals(found: Found) -> str:
    """Return each reason for a refusal once, with the number of files it holds for."""
    if not found.refused and not found.unreadable:
        return (
            "No DICOM file is there, nor a stack of PNG or TIFF images alone; `deepstd batch` "
            "takes a folder of scans"
        )
    reasons = Counter(reasons_of(found).values())
    return "; ".join(f"{count} DICOM files: {reason}" for reason, count in reasons.most_common(5))


def reasons_of(found: Found) -> dict[str, str]:
    """Return the labels of objects that belong to no series, each with the reason."""
    errors = {**found.refused, **found.unreadable}
    return {i.label: str(error).removeprefix(f"{i.label}: ") for i, error in errors.items()}


def _place(stacks: dict[tuple[object, ...], list[_Stack]], frames: list[Frame]) -> None:
    """Add the frames of an object to their stacks, or to new ones.

    Args:
        stacks: stacks so far, by the common properties of their frames.
        frames: frames of the object.
    """
    image = frames[0].image
    name = None
    is_stray = frames[0].place is None and not is_slice(image)
    if image.is_segmentation or image.is_multi_frame or is_stray:
        # The object is a scan of its own; another one may have the same UID.
        said = repr([appearance(frame) for frame in frames])
        name = hashlib.sha256(said.encode()).hexdigest()
    key = (
        image.series,
        image.rows,
        image.columns,
        image.photometric,
        text(image.dataset, "SOPClassUID"),
        name,
    )
    if image.is_segmentation:  # frames of several segments and orientations stay together
        whole = stacks[key] or [_Stack(image.series, key, frames[0].place, [])]
        whole[0].frames.extend(frames)
        stacks[key] = whole
        return
    for frame in frames:
        for stack in stacks[key]:
            if stack.takes(frame):
                stack.frames.append(frame)
                break
        else:
            stacks[key].append(_Stack(image.series, key, frame.place, [frame]))


def _joined(stacks: list[_Stack]) -> list[_Stack]:
    """Add slices without a position to the only stack with positions, which is then incomplete."""
    placed = [stack for stack in stacks if stack.place is not None]
    strays = [stack for stack in stacks if stack.place is None]
    if len(placed) != 1 or not strays:
        return stacks
    added = [frame for stack in strays for frame in stack.frames]
    return [replace(placed[0], frames=placed[0].frames + added)]


def _split(stack: _Stack) -> list[_Stack]:
    """Separate the parallel stacks of an enhanced object, unless they have one slice each."""
    if stack.frames[0].image.is_segmentation:
        return [stack]
    parts: dict[str, list[Frame]] = defaultdict(list)
    for frame in stack.frames:
        parts[frame.stack].append(frame)
    positions = [{tuple(f.place.position) for f in part if f.place} for part in parts.values()]
    if len(parts) == 1 or max(map(len, positions)) < 2:
        return [stack]
    return [replace(stack, frames=part, stack=name) for name, part in parts.items()]


def _ids(stacks: list[_Stack]) -> list[str]:
    """Return an id for each stack: a hash of the properties that separate stacks."""
    ids: dict[str, None] = {}
    for stack in stacks:
        told: list[object] = [*stack.key, *([stack.stack] if stack.stack else [])]
        told.append(sorted({kind_of(frame) for frame in stack.frames}))
        if stack.place is not None:
            # Adding zero turns minus zero into zero, which has another text.
            told += (np.round(stack.place.orientation, 2) + 0.0).tolist()
            told += (np.round(stack.place.spacing, 3) + 0.0).tolist()
        name = hashlib.sha256(repr(told).encode()).hexdigest()[:_ID_DIGITS]
        while name in ids:
            name = hashlib.sha256(name.encode()).hexdigest()[:_ID_DIGITS]
        ids[name] = None
    return list(ids)


def only_refusal(found: Found) -> DeepSTDError | None:
    """Return the error of a single refused file, or None where other files matter as well."""
    errors = [*found.refused.values(), *found.unreadable.values()]
    return errors[0] if len(errors) == 1 and not found.series else None
