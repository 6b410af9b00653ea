"""The interface of everything that is measured.

moving, fixed ─ register ─▶ Warp
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import Warp, affine_warp, centred


class Method(Protocol):
    """A registration method with its settings."""

    @property
    def name(self) -> str:
        """In tables."""
        ...

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Where each voxel of the fixed scan lies in the moving one."""
        ...


class AffineStage(Protocol):
    """Affine alignment that methods start from."""

    def matrix(self, moving: Scan, fixed: Scan) -> np.ndarray:
        """(4, 4) from fixed to moving voxels."""
        ...


@dataclass(frozen=True)
class Unregistered:
    """Centre upon centre, by the headers."""

    name: str = "none"

    def matrix(self, moving: Scan, fixed: Scan) -> np.ndarray:
        """(4, 4) from fixed to moving voxels."""
        return centred(moving, fixed)

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """The map that costs nothing."""
        return Warp(affine_warp(self.matrix(moving, fixed), fixed.shape).coordinates)
