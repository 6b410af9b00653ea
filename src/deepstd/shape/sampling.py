"""Linear interpolation of images at points, and its derivative by the points.

images ─ extended by a voxel around ─▶ flat voxels
Lattice, points ─▶ cells ─ gather corners, interpolate along one axis after another ─▶ values
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_AT_ONCE = 1 << 14  # points whose corners are gathered at once; bounds memory


class Lattice:
    """Grid of the voxel centres of an extended image.

    Args:
        shape: voxels along each axis, before the image is extended.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        wide = [n + 2 for n in shape]
        self._strides = [math.prod(wide[axis + 1 :]) for axis in range(len(wide))]
        ends = np.indices((2,) * len(wide)).reshape(len(wide), -1)
        self._corners = np.array(self._strides) @ ends
        self._last = np.array([n + 1 for n in shape], np.float32)[:, None]
        self.voxels = math.prod(wide)

    def cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the cells of points; points beyond the extended image are moved to its border.

        Args:
            points: (ndim, N) float32, in voxels of the image before it is extended.

        Returns:
            (N,) flat index of each cell's first corner, and (ndim, N), places in the cells, 0 to 1.
        """
        inside = (points + 1).clip(0, self._last)
        low = np.minimum(inside.astype(np.int32), self._last.astype(np.int32) - 1)
        return self._strides @ low.astype(np.intp), inside - low

    def corners(self, flat: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Gather the corners of cells.

        Args:
            flat: (..., voxels) of extended images.
            base: (N,), as of `cells`.

        Returns:
            (..., 2**ndim, N).
        """
        return flat.take(base + self._corners[:, None], -1)


def extended(images: np.ndarray, *, edge: bool) -> np.ndarray:
    """Extend images, (C, *shape), by a voxel at each end of each axis.

    Values beyond are zeros or, with ``edge`` and along axes of one voxel, those of the edge.
    """
    for axis, length in enumerate(images.shape[1:], 1):
        width = [(0, 0)] * images.ndim
        width[axis] = (1, 1)
        images = np.pad(images, width, mode="edge" if edge or length == 1 else "constant")
    return images


def interpolated(corners: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Interpolate between the corners of cells.

    Args:
        corners: (..., 2**ndim, N), as of `Lattice.corners`.
        parts: (ndim, N), places in the cells.

    Returns:
        (..., N).
    """
    for part in parts:
        corners = _between(corners, part)[0]
    return corners[..., 0, :]


def interpolated_with_slopes(
    corners: np.ndarray, parts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate between the corners of cells; return derivatives by the points, too.

    Args:
        corners: (2**ndim, N), as of `Lattice.corners`.
        parts: (ndim, N), places in the cells.

    Returns:
        (N,), and (ndim, N).
    """
    slopes: list[np.ndarray] = []
    for part in parts:
        slopes = [_between(slope, part)[0] for slope in slopes]
        corners, slope = _between(corners, part)
        slopes.append(slope)
    return corners[0], np.concatenate(slopes)


def sampled(images: np.ndarray, points: np.ndarray, *, edge: bool) -> np.ndarray:
    """Interpolate images at points.

    Args:
        images: float32 (C, *shape).
        points: (ndim, N) float32, in voxels.
        edge: values outside the images are those of the edge; else zeros.

    Returns:
        float32 (C, N).
    """
    lattice = Lattice(images.shape[1:])
    flat = extended(images, edge=edge).reshape(len(images), -1)
    result = np.empty((len(images), points.shape[1]), np.float32)
    for start in range(0, points.shape[1], _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        base, places = lattice.cells(points[:, part])
        result[:, part] = interpolated(lattice.corners(flat, base), places)
    return result


def _between(corners: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate along the first axis of cells; return the difference of its ends, too."""
    half = corners.shape[-2] // 2
    low = corners[..., :half, :]
    step = corners[..., half:, :] - low
    return low + part * step, step
