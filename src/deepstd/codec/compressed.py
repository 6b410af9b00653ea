"""Result of an encoding: a .dstd file in memory, with its quality and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepstd.findings import Familiarity
from deepstd.quality import Quality

if TYPE_CHECKING:
    from deepstd.shape.register import ShapeReport


@dataclass(frozen=True)
class Compressed:
    """A .dstd file in memory, with measurements of its encoding.

    Attributes:
        data: bytes of the file.
        quality: metrics of the decoded scan, errors in stored units.
        mean_squared_error: mean squared error of the decoded scan, in squared stored units.
        shape: registration report of each frame; None for a frame without a deformation field.
        shape_bytes: bytes of the deformation fields.
        texture_bytes: bytes of the textures.
        notes: sentences on the encoding that a user should know.
        exact_bytes: bytes of the exact part behind the lossy file; 0 without.
        familiarity: how the scan fits the bundle; None for a file without a bundle.
    """

    data: bytes
    quality: Quality
    mean_squared_error: float
    shape: tuple[ShapeReport | None, ...]
    shape_bytes: int
    texture_bytes: int
    notes: tuple[str, ...] = ()
    exact_bytes: int = 0
    familiarity: Familiarity | None = None
