"""A .dstd file in memory, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepstd.quality import Quality

if TYPE_CHECKING:
    from deepstd.shape.register import ShapeReport


@dataclass(frozen=True)
class Compressed:
    """A .dstd file in memory and how it came about.

    Attributes:
        data: the file.
        quality: error of the decoded scan.
        mean_squared_error: of the decoded scan, in stored units.
        shape: registration report of each frame whose field was kept, else None.
        shape_bytes, texture_bytes: payload bytes.
        notes: what a user should know of it, in sentences.
    """

    data: bytes
    quality: Quality
    mean_squared_error: float
    shape: tuple[ShapeReport | None, ...]
    shape_bytes: int
    texture_bytes: int
    notes: tuple[str, ...] = ()
