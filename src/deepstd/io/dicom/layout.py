"""Layout of a segmentation's frames in a volume.

frames of the object ◀─ slice, segment of each ─▶ planes of the volume
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepstd.errors import InputError

_BITS = (1, 8, 16)


@dataclass(frozen=True)
class Layout:
    """Places of the frames of one object.

    Attributes:
        bits: bits of a stored pixel: 1, 8 or 16.
        slices: index of the slice of each frame, in the order of the object.
        segments: number of the segment of each frame, from 1; 0 where a frame is of no single one.
        merged: True where voxels are numbers of segments; False where they are the pixels of the
            frames, and several segments lie along a fourth axis in the order of their numbers.
    """

    bits: int
    slices: list[int]
    segments: list[int]
    merged: bool

    @property
    def parts(self) -> list[int]:
        """Numbers of the segments along the fourth axis, ascending; one of it without the axis."""
        return [0] if self.merged else sorted(set(self.segments))

    @property
    def planes(self) -> list[int]:
        """Index of the plane of each frame, planes counted by slice and then along the parts."""
        parts = self.parts
        index = {number: n for n, number in enumerate(parts)}
        both = zip(self.slices, self.segments, strict=True)
        return [k * len(parts) + (0 if self.merged else index[number]) for k, number in both]

    @property
    def count(self) -> int:
        """Number of planes of the volume."""
        return (max(self.slices) + 1) * len(self.parts)

    def frames(self, planes: Sequence[np.ndarray]) -> np.ndarray:
        """Return the frames of the object, (frame, row, column), of the planes of a volume.

        Raises:
            InputError: the volume has another number of planes.
        """
        if len(planes) != self.count:
            raise InputError(f"frames of {self.count} slices were kept for {len(planes)} slices")
        numbers = self.planes
        dtype = np.dtype("u1") if self.merged else planes[0].dtype
        found = np.empty((len(numbers), *planes[0].shape), dtype)
        for n, (number, segment) in enumerate(zip(numbers, self.segments, strict=True)):
            found[n] = planes[number] == segment if self.merged else planes[number]
        return found


def columns(layout: Layout) -> dict[str, Any]:
    """Return a layout as plain values for JSON."""
    return {
        "bits": layout.bits,
        "slices": layout.slices,
        "segments": layout.segments,
        "merged": layout.merged,
    }


def layout_of(told: Any) -> Layout:
    """Return the layout of values from `columns`.

    Raises:
        ValueError, TypeError, LookupError: the values are damaged.
    """
    layout = Layout(*(told[name] for name in Layout.__dataclass_fields__))
    counts = [*layout.slices, *layout.segments]
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("no numbers of slices and segments")
    if not layout.slices or len(layout.slices) != len(layout.segments):
        raise ValueError("a column of another length")
    if layout.bits not in _BITS or type(layout.merged) is not bool:
        raise ValueError("no way of storing pixels")
    return layout
