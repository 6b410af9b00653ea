"""Which scans there are among DICOM files.

    items ─ headers ─▶ images ─ by series, size, type, orientation ─▶ Series …
                  └▶ refused: label ─▶ reason

A series on the scanner may hold several stacks (localizers in three planes) or single projections;
each is a `Series` here, with an id that tells nothing of the patient.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from deepstd.errors import DeepSTDError, InputError, MissingExtraError
from deepstd.io.dicom.frames import Frame, Place, frames_of
from deepstd.io.dicom.images import Image, text
from deepstd.io.dicom.items import Item, begins_as_dicom

_SAME_DIRECTION = 1e-3
_SAME_SPACING = 1e-4
_ID_DIGITS = 8


@dataclass(frozen=True)
class Series:
    """Frames that may form one volume.

    Attributes:
        id: eight hexadecimal digits, the same wherever these files are found.
        frames: unsorted.
    """

    id: str
    frames: list[Frame]

    @property
    def image(self) -> Image:
        """The first object."""
        return self.frames[0].image

    @property
    def items(self) -> list[Item]:
        """The files, in the order of the frames, each once."""
        return list(dict.fromkeys(frame.image.item for frame in self.frames))


@dataclass(frozen=True)
class Found:
    """What is among some files.

    Attributes:
        series: in the order of their first files.
        refused: DICOM objects that cannot be compressed, label to error.
        others: files that are not DICOM.
    """

    series: list[Series]
    refused: dict[str, DeepSTDError]
    others: list[Item]


@dataclass
class _Stack:
    """Frames of a series so far; what they have in common is in ``key`` and ``place``."""

    key: tuple[object, ...]
    place: Place | None
    frames: list[Frame] = field(default_factory=list)

    def takes(self, key: tuple[object, ...], place: Place | None) -> bool:
        if key != self.key:
            return False
        if self.place is None or place is None:
            return self.place is place
        turned = np.abs(self.place.orientation - place.orientation).max() > _SAME_DIRECTION
        return not turned and np.allclose(self.place.spacing, place.spacing, rtol=_SAME_SPACING)


def find(items: Iterable[Item]) -> Found:
    """Read the headers of all files and sort their frames into series.

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    stacks: list[_Stack] = []
    refused: dict[str, DeepSTDError] = {}
    others: list[Item] = []
    for item in items:
        try:
            if not begins_as_dicom(item.head()):
                others.append(item)
                continue
            image = Image.of(item)
            frames = frames_of(image)
        except MissingExtraError:
            raise
        except OSError as error:
            refused[item.label] = InputError(f"{item.label}: {error.strerror or error}")
            continue
        except DeepSTDError as error:
            refused[item.label] = error
            continue
        for frame in frames:
            _place(stacks, frame)
    return Found([Series(_id(stack), stack.frames) for stack in stacks], refused, others)


def choose(found: Found, wanted: str | None, where: str) -> Series:
    """The one series, or the one that is asked for by its id.

    Raises:
        InputError: there is none, or none of that id, or there are several and none is chosen.
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
    """Modality and size in words, nothing that may tell who the patient is."""
    image = series.image
    return f"{image.modality}, {len(series.frames)} frames of {image.columns} x {image.rows}"


def _refusals(found: Found) -> str:
    """Each reason once, with how many files it holds for."""
    if not found.refused:
        return (
            "No DICOM file is there, nor a stack of PNG or TIFF images alone; `deepstd batch` "
            "takes a folder of scans"
        )
    reasons = Counter(reasons_of(found).values())
    return "; ".join(f"{count} DICOM files: {reason}" for reason, count in reasons.most_common(5))


def reasons_of(found: Found) -> dict[str, str]:
    """Why objects were refused, without their labels."""
    return {k: str(error).removeprefix(f"{k}: ") for k, error in found.refused.items()}


def _place(stacks: list[_Stack], frame: Frame) -> None:
    image = frame.image
    own = (
        image.series,
        image.rows,
        image.columns,
        image.dtype,
        image.photometric,
        text(image.dataset, "SOPClassUID"),
    )
    alone = frame.place is None or image.frames > 1
    key = (*own, image.instance if alone else None)
    for stack in stacks:
        if stack.takes(key, frame.place):
            stack.frames.append(frame)
            return
    stacks.append(_Stack(key, frame.place, [frame]))


def _id(stack: _Stack) -> str:
    """A hash of what tells a stack from all others."""
    told: list[object] = list(stack.key)
    if stack.place is not None:
        told += [np.round(stack.place.orientation, 2).tolist(), stack.place.spacing]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:_ID_DIGITS]


def only_refusal(found: Found) -> DeepSTDError | None:
    """The error of a single file that was refused, for a message about nothing else."""
    if found.series or len(found.refused) != 1:
        return None
    return next(iter(found.refused.values()))
