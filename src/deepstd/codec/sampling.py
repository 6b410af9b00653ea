"""Grid of a scan that is restored without a network, or of a preview of it.

container, level ─ header ─▶ Grid: every 2ⁿ-th voxel ─ voxels ─▶ Volume
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd import io
from deepstd.container import Beginning
from deepstd.errors import DamagedError, InputError
from deepstd.volume import SourceHeader, Volume


@dataclass(frozen=True)
class Grid:
    """Voxels that a preview takes of a scan; all of them at level 0.

    Attributes:
        container: the parsed file.
        level: 0 for the whole scan, n for every 2ⁿ-th voxel along each axis.
        source: header of the original scan.
        affine: voxel-to-world matrix of the original scan, (4, 4), or None.
    """

    container: Beginning
    level: int
    source: SourceHeader
    affine: np.ndarray | None

    @property
    def factors(self) -> tuple[int, ...]:
        """Subsampling factor of each spatial axis."""
        return (1 << self.level,) * len(self.container.head.shape[:3])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape after subsampling, frames included."""
        shape = self.container.head.shape
        kept = (-(-n // f) for n, f in zip(shape[:3], self.factors, strict=True))
        return *kept, *shape[3:]

    def volume(self, voxels: np.ndarray) -> Volume:
        """Return the scan of this grid.

        Args:
            voxels: array of the shape of this grid and the stored type.
        """
        container = self.container
        if not self.level:
            nbytes = container.head.source_nbytes
            return Volume(voxels, self.affine, self.source, container.notes, nbytes)
        source = io.subsampled(self.source, self.shape, self.factors)
        return Volume(voxels, io.affine_of(source), source, container.notes)


def grid_of(container: Beginning, level: int) -> Grid:
    """Return the grid of a scan or a preview.

    Args:
        container: the parsed file.
        level: 0 for the whole scan, n for every 2ⁿ-th voxel along each axis.

    Raises:
        DamagedError: the header of the original scan is damaged.
        InputError: the scan has fewer levels.
    """
    head, source = container.head, container.source_header()
    try:
        affine = io.check_header(source, head.shape, head.dtype)
    except InputError as error:
        raise DamagedError(
            f"{container.name}: the header of the original scan is damaged: {error}"
        ) from error
    levels = (max(head.shape[:3]) - 1).bit_length()
    if not 0 <= level <= levels:
        raise InputError(f"level {level} does not exist: expected 0 to {levels}")
    return Grid(container, level, source, affine)
