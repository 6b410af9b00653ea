"""Basic indexing of NumPy, as the box of voxels to decode and the index into that box.

key, shape ─ ellipsis, negative indices, steps ─▶ Selection ─ box ─ decode ─ inner ─▶ result
"10:20,:,30" ─ parse_region ─▶ key
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any

from deepstd.errors import RegionError

Box = tuple[slice, ...]
_PART = re.compile(r"-?\d+|(-?\d+)?:(-?\d+)?(:-?\d+)?|\.\.\.")


@dataclass(frozen=True)
class Selection:
    """Voxels that an index selects.

    Attributes:
        spans: indices along each axis.
        dropped: axes with a single index, which the result does not have.
    """

    spans: tuple[range, ...]
    dropped: frozenset[int]

    @staticmethod
    def of(key: Any, shape: tuple[int, ...]) -> Selection:
        """Interpret an index.

        Args:
            key: integers, slices and at most one ellipsis, as NumPy's basic indexing has them.
            shape: shape of the scan.

        Raises:
            RegionError: an integer is out of range, there are too many, or the key is of another
                kind.
        """
        parts = list(key) if isinstance(key, tuple) else [key]
        dots = [n for n, part in enumerate(parts) if part is Ellipsis]
        if len(dots) > 1:
            raise RegionError("an index can only have a single ellipsis ('...')")
        at = dots[0] if dots else len(parts)
        given = len(parts) - len(dots)
        if given > len(shape):
            raise RegionError(f"{given} indices are too many for a scan of {len(shape)} axes")
        parts[at : at + 1] = [slice(None)] * (len(shape) - given)
        spans, dropped = [], set()
        for axis, (part, length) in enumerate(zip(parts, shape, strict=True)):
            if isinstance(part, slice):
                spans.append(_sliced(part, length))
                continue
            spans.append(_single(part, axis, length))
            dropped.add(axis)
        return Selection(tuple(spans), frozenset(dropped))

    @property
    def is_empty(self) -> bool:
        """True where no voxel is selected."""
        return not all(self.spans)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(len(s) for axis, s in enumerate(self.spans) if axis not in self.dropped)

    @property
    def box(self) -> Box:
        """Smallest box of voxels that holds the selected ones, (start, stop) along each axis."""
        return tuple(slice(min(s[0], s[-1]), max(s[0], s[-1]) + 1) for s in self.spans)

    @property
    def inner(self) -> tuple[slice | int, ...]:
        """Index into the box that gives the result."""
        found: list[slice | int] = []
        for axis, (span, around) in enumerate(zip(self.spans, self.box, strict=True)):
            first, stop = span[0] - around.start, span[-1] - around.start + span.step
            within = slice(first, stop if stop >= 0 else None, span.step)
            found.append(first if axis in self.dropped else within)
        return tuple(found)


def parse_region(text: str) -> tuple[Any, ...]:
    """Parse a region such as "10:20,:,30" or "...,5"; return the key of an index.

    Raises:
        RegionError: the text is no such region.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(_PART.fullmatch(part) for part in parts) or parts.count("...") > 1:
        raise RegionError(
            f"{text!r} is not a region: expected an index or start:stop for each axis with commas "
            "between, such as 10:20,:,30"
        )
    return tuple(_parsed(part) for part in parts)


def _parsed(part: str) -> Any:
    if part == "...":
        return Ellipsis
    if ":" not in part:
        return int(part)
    return slice(*(int(number) if number else None for number in part.split(":")))


def _sliced(part: slice, length: int) -> range:
    """Return the range of a slice."""
    try:
        return range(*part.indices(length))
    except ValueError:
        raise RegionError("the step of a slice cannot be zero") from None
    except TypeError as error:
        raise RegionError(f"a slice of a scan has integers alone: {error}") from None


def _single(part: Any, axis: int, length: int) -> range:
    """Return the range of one index."""
    if isinstance(part, bool) or part is None:
        raise RegionError(f"{part!r} is no index of a scan: use integers, slices and ...")
    try:
        number = operator.index(part)
    except TypeError:
        raise RegionError(
            f"{type(part).__name__} is no index of a scan: use integers, slices and ..., or "
            "np.asarray(scan) first"
        ) from None
    if not -length <= number < length:
        raise RegionError(f"index {number} is out of bounds for axis {axis} of length {length}")
    number %= length
    return range(number, number + 1)
