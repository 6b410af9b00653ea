"""Result of a compression: a .dstd file in memory with its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepstd.quality import Quality

if TYPE_CHECKING:
    from deepstd.shape.register import ShapeReport


@dataclass(frozen=True)
class Compressed:
    """A .dstd file in memory with its report.

    Attributes:
        data: bytes of the file.
        quality: error of the decoded scan.
        mean_squared_error: mean squared error of the decoded scan, in squared stored units.
        shape: registration report of each frame whose deformation field is kept, else None.
        shape_bytes, texture_bytes: bytes of the payloads.
        notes: notes on the scan for the user, in sentences.
    """

    data: bytes
    quality: Quality
    mean_squared_error: float
    shape: tuple[ShapeReport | None, ...]
    shape_bytes: int
    texture_bytes: int
    notes: tuple[str, ...] = ()
