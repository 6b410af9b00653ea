"""Selection of frames in an object of several frames.

data set, indices of frames ─ functional groups, vectors ─▶ data set of these frames alone
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

# Ordinal numbers that begin with 1 among the frames of an object (PS3.3 C.7.6.16.2.2).
_ORDINALS = ("InStackPositionNumber", "TemporalPositionIndex")


def keep_frames(dataset: Dataset, numbers: Sequence[int]) -> None:
    """Remove all but some frames from a data set without pixels, in place.

    Args:
        dataset: data set of an object with as many frame descriptions as frames.
        numbers: indices of the frames to keep, from 0, ascending.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    if len(numbers) == count:
        return
    dataset.NumberOfFrames = len(numbers)
    groups: Any = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups:
        kept = [groups[n] for n in numbers]
        dataset.PerFrameFunctionalGroupsSequence = kept
        contents = [group.get("FrameContentSequence") for group in kept]
        _renumber([content[0] for content in contents if content])
    for tag in _pointers(dataset):
        element = dataset.get(tag)
        if element is not None and len(_several(element.value)) == count:
            element.value = [element.value[n] for n in numbers]


def _pointers(dataset: Dataset) -> list[Any]:
    """Return the tags of the elements that have a value for each frame."""
    return _several(dataset.get("FrameIncrementPointer"))


def _renumber(contents: list[Dataset]) -> None:
    """Renumber ordinal values from 1 without gaps, as in a whole object."""
    for keyword in _ORDINALS:
        told = [content for content in contents if keyword in content]
        ranks = _ranks([content[keyword].value for content in told])
        for content, rank in zip(told, ranks, strict=True):
            content[keyword].value = rank
    indexed = [content for content in contents if content.get("DimensionIndexValues")]
    rows = [_several(content.DimensionIndexValues) for content in indexed]
    if len({len(row) for row in rows}) == 1:
        columns = [_ranks(list(column)) for column in zip(*rows, strict=True)]
        for content, row in zip(indexed, zip(*columns, strict=True), strict=True):
            content.DimensionIndexValues = list(row)


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Sequence) else [value]


def _ranks(values: list[int]) -> list[int]:
    """Return the rank of each value among the distinct values, from 1."""
    ordered = {value: rank for rank, value in enumerate(sorted(set(values)), 1)}
    return [ordered[value] for value in values]
