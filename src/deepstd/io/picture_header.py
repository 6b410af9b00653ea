"""Kept parts of PNG and TIFF headers, as JSON; empty by default.

resolution, distance of slices and frames, grey scale, significant bits
  ─ pack ─▶ SourceHeader.raw ─ unpack ─▶ Kept
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deepstd.errors import InputError
from deepstd.volume import SourceHeader

NAMES = ("png", "tiff", "png-stack", "tiff-stack")
MM_PER_INCH = 25.4
NO_SCALE = (1.0, 0.0)


@dataclass(frozen=True)
class Kept:
    """Kept parts of an image's header.

    Attributes:
        dpi: pixels per inch along a row and down a column, or None.
        slice: distance between slices in mm, or None.
        frame: time between frames in seconds, or None.
        scale: slope and intercept from stored to real-world values.
        white: whether zero is white.
        bits: bits of a sample that carry a value (sBIT of PNG), or None for all.
    """

    dpi: tuple[float, float] | None = None
    slice: float | None = None
    frame: float | None = None
    scale: tuple[float, float] = NO_SCALE
    white: bool = False
    bits: int | None = None

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Distance between rows, columns and slices in mm; None where nothing is known."""
        if self.dpi is None and self.slice is None:
            return None
        x, y = (1.0, 1.0) if self.dpi is None else (MM_PER_INCH / value for value in self.dpi)
        return y, x, 1.0 if self.slice is None else self.slice


def pack(kept: Kept) -> bytes:
    """Return the parts that differ from their defaults as compact JSON; empty where none does."""
    default = asdict(Kept())
    told = {name: value for name, value in asdict(kept).items() if value != default[name]}
    return json.dumps(told, separators=(",", ":")).encode() if told else b""


def unpack(raw: bytes) -> Kept:
    """Parse a kept header.

    Raises:
        InputError: the header is damaged.
    """
    if not raw:
        return Kept()
    try:
        told = json.loads(raw)
        if not isinstance(told, dict):
            raise TypeError("not an object")
        dpi, scale = told.get("dpi"), told.get("scale")
        return Kept(
            None if dpi is None else _pair(dpi),
            _number(told.get("slice")),
            _number(told.get("frame")),
            NO_SCALE if scale is None else _pair(scale),
            bool(told.get("white", False)),
            None if told.get("bits") is None else int(told["bits"]),
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"the image's header is damaged ({error})") from error


def plausible_dpi(dpi: Any) -> tuple[float, float] | None:
    """Return a resolution rounded to 7 digits; None where it is not two positive numbers."""
    try:
        x, y = (float(f"{float(value):.7g}") for value in dpi)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if all(math.isfinite(v) and 0 < v < 1e9 for v in (x, y)) else None


def scale_of(source: SourceHeader) -> tuple[float, float]:
    """Return slope and intercept of a kept header; 1 and 0 where the header states none.

    Raises:
        InputError: the header is damaged.
    """
    return unpack(source.raw).scale


def subsampled(source: SourceHeader, factors: Sequence[int]) -> SourceHeader:
    """Return the header of an image or stack that is subsampled from its first pixel on.

    Args:
        source: kept header of the whole image.
        factors: subsampling factor of rows, columns and slices, integers.

    Raises:
        InputError: the header is damaged.
    """
    kept = unpack(source.raw)
    rows, columns, *slices = factors
    if kept.dpi is not None:
        kept = replace(kept, dpi=(kept.dpi[0] / columns, kept.dpi[1] / rows))
    if kept.slice is not None and slices:
        kept = replace(kept, slice=kept.slice * slices[0])
    return SourceHeader(source.format, pack(kept))


def cropped(source: SourceHeader, spans: Sequence[range]) -> SourceHeader:
    """Return the header of a part of an image or stack.

    Args:
        source: kept header of the whole image.
        spans: indices along each axis, ascending and not empty.

    Raises:
        InputError: the header is damaged.
    """
    part = subsampled(source, [span.step for span in spans[:3]])
    kept = unpack(part.raw)
    if kept.frame is None or len(spans) < 4:
        return part
    return SourceHeader(source.format, pack(replace(kept, frame=kept.frame * spans[3].step)))


def _pair(values: Any) -> tuple[float, float]:
    first, second = (_finite(value) for value in values)
    return first, second


def _number(value: Any) -> float | None:
    return None if value is None else _finite(value)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number
