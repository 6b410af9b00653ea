"""Result of every method: for each voxel of the fixed scan its place in the moving scan.

    coordinates (I, J, K, 3), moving voxels ─┬─ labels, nearest neighbour ─▶ warped labels
                                             ├─ image, trilinear ──────────▶ warped image
                                             └─ finite differences ────────▶ share of det J ≤ 0
    numbers that a method would store ─ round ─ differences ─ LZMA ─▶ bytes

All methods are resampled and judged by this one file.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from benchmarks.registration.pairs import Scan

STORED_STEP = 1 / 8
AFFINE_BYTES = 12 * 4


@dataclass(frozen=True, eq=False)
class Warp:
    """A registration.

    Attributes:
        coordinates: float32 (I, J, K, 3), voxel coordinates of the moving scan.
        nbytes: bytes that storing the transformation takes; None where nothing is stored.
    """

    coordinates: np.ndarray
    nbytes: int | None = None


def grid(shape: Sequence[int]) -> np.ndarray:
    """(I, J, K, 3) float64 voxel indices."""
    return np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij"), -1)


def transformed(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A (4, 4) affine applied to points (..., 3)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def centred(moving: Scan, fixed: Scan) -> np.ndarray:
    """(4, 4) from fixed to moving voxels: axes as the headers say, centre upon centre."""
    matrix = np.linalg.inv(moving.affine) @ fixed.affine
    middle = (np.array(fixed.shape) - 1) / 2
    matrix[:3, 3] = (np.array(moving.shape) - 1) / 2 - matrix[:3, :3] @ middle
    return matrix


def affine_warp(matrix: np.ndarray, shape: Sequence[int]) -> Warp:
    """The Warp of a (4, 4) matrix from fixed to moving voxels."""
    return Warp(transformed(matrix, grid(shape)).astype(np.float32), AFFINE_BYTES)


def composed(matrix: np.ndarray, displacement: np.ndarray, stored: np.ndarray) -> Warp:
    """An affine after a displacement on the fixed grid.

    Args:
        matrix: (4, 4) from fixed to moving voxels.
        displacement: (I, J, K, 3) in fixed voxels.
        stored: what a file would have to hold of it, in fixed voxels; see `packed`.
    """
    coordinates = transformed(matrix, grid(displacement.shape[:3]) + displacement)
    return Warp(coordinates.astype(np.float32), AFFINE_BYTES + packed(stored))


def warp_labels(labels: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Labels of the moving scan on the fixed grid; 0 outside."""
    places = np.moveaxis(coordinates, -1, 0)
    return ndimage.map_coordinates(labels, places, order=0, mode="constant", cval=0)


def warp_image(voxels: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Grey values of the moving scan on the fixed grid; outside those of the border."""
    places = np.moveaxis(coordinates, -1, 0)
    return ndimage.map_coordinates(voxels, places, order=1, mode="nearest")


def folding_percent(coordinates: np.ndarray, moving: Scan, fixed: Scan) -> float:
    """Share of voxels where the map from the fixed to the moving scan turns inside out.

    Derivatives are central differences, at the border one-sided.
    """
    columns = [np.gradient(coordinates.astype(float), axis=axis) for axis in range(3)]
    jacobian = np.linalg.det(np.stack(columns, -1))
    sign = np.sign(np.linalg.det(moving.affine[:3, :3]) * np.linalg.det(fixed.affine[:3, :3]))
    return float(100 * np.mean(sign * jacobian <= 0))


def packed(values: np.ndarray, step: float = STORED_STEP) -> int:
    """Bytes of a displacement field or its coefficients: a plain coder that any method could use.

    Args:
        values: (I, J, K, 3) in voxels.
        step: what values are rounded to, in voxels.
    """
    whole = np.rint(values / step).astype(np.int16)
    for axis in range(3):
        whole = np.diff(whole, axis=axis, prepend=np.int16(0))
    return len(lzma.compress(np.moveaxis(whole, -1, 0).tobytes(), preset=9))
