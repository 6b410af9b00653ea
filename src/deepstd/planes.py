"""Planes of a scan as they are looked at: axis across, directions, size of a pixel.

shape, affine ─ nearest anatomical axes ─▶ Plane ─ slice_of(voxels, index) ─▶ rows and columns

With an affine, planes are axial, coronal and sagittal in the radiological convention: the patient's
right is on the left, anterior or superior is up. Without an affine, planes follow the axes of the
array, the first axis downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import io_orientation

CONVENTION = "radiological convention: the patient's right is on the left"
IMAGE = "image"
"""Name of the plane of a scan of two axes without directions."""

_PLANES = ("sagittal", "coronal", "axial")  # by the RAS axis that the plane is across
_TOWARDS = (("R", "L"), ("A", "P"), ("S", "I"))  # letters of both ends of each RAS axis


@dataclass(frozen=True)
class Plane:
    """A plane of a scan of up to three spatial axes.

    Attributes:
        name: "axial", "coronal" or "sagittal"; "axis 0" and so on, or "image", without directions.
        axis: axis of the array that the plane is across; 2 for an image.
        rows: axis of the array that goes from the top down.
        columns: axis of the array that goes from left to right.
        flipped: True for rows, and for columns, that run against the array's indices.
        count: number of slices.
        shape: number of rows and of columns.
        pixel: height and width of a pixel, in millimetres or voxels.
        edges: letters of the anatomical directions left, right, top and bottom; empty without.
    """

    name: str
    axis: int
    rows: int
    columns: int
    flipped: tuple[bool, bool]
    count: int
    shape: tuple[int, int]
    pixel: tuple[float, float]
    edges: tuple[str, ...] = ()

    def slice_of(self, voxels: np.ndarray, index: int) -> np.ndarray:
        """Return one slice as a view of the voxels, (rows, columns).

        Args:
            voxels: shape (I, J) or (I, J, K), that of the plane's scan.
            index: index along ``axis``.
        """
        cube = voxels.reshape(*voxels.shape, *[1] * (3 - voxels.ndim))
        chosen: list[slice | int] = [slice(None)] * 3
        chosen[self.axis] = index
        found = cube[tuple(chosen)]
        if self.rows > self.columns:
            found = found.T
        down, across = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return found[down, across]


def planes_of(shape: Sequence[int], affine: np.ndarray | None) -> list[Plane]:
    """Return the planes of a scan: up to three, one for an image.

    A plane with an axis of length one shows a line, so it is left out where there is another.

    Args:
        shape: voxels along 2 to 4 axes; the fourth holds frames.
        affine: voxel-to-world matrix, (4, 4), RAS+; None without geometry.
    """
    spatial = tuple(shape[:3])
    planes = _oriented(spatial, affine) or _along_axes(spatial)
    return [plane for plane in planes if min(plane.shape) > 1] or planes[-1:]


def _oriented(shape: tuple[int, ...], affine: np.ndarray | None) -> list[Plane]:
    """Return the anatomical planes; none where the affine has no directions."""
    if affine is None:
        return []
    with np.errstate(all="ignore"):  # spacings whose squares overflow have no direction
        orientation = io_orientation(affine)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(orientation).all() and np.isfinite(spacing).all()):
        return []
    lengths = (*shape, *[1] * (3 - len(shape)))
    axis_of = {int(world): axis for axis, (world, _) in enumerate(orientation)}
    planes = []
    for world in (2, 1, 0):
        # Columns run from right to left or from anterior to posterior, rows from the top down.
        across, down = (w for w in (0, 1, 2) if w != world)
        rows, columns = axis_of[down], axis_of[across]
        planes.append(
            Plane(
                _PLANES[world],
                axis_of[world],
                rows,
                columns,
                (bool(orientation[rows, 1] > 0), bool(orientation[columns, 1] > 0)),
                lengths[axis_of[world]],
                (lengths[rows], lengths[columns]),
                (float(spacing[rows]), float(spacing[columns])),
                (*_TOWARDS[across], *_TOWARDS[down]),
            )
        )
    return planes


def _along_axes(shape: tuple[int, ...]) -> list[Plane]:
    """Return the planes across each axis of an array of 3 axes, or the one of an image."""
    if len(shape) == 2:
        return [Plane(IMAGE, 2, 0, 1, (False, False), 1, (shape[0], shape[1]), (1.0, 1.0))]
    planes = []
    for axis in (2, 1, 0):
        rows, columns = (other for other in (0, 1, 2) if other != axis)
        planes.append(
            Plane(
                f"axis {axis}",
                axis,
                rows,
                columns,
                (False, False),
                shape[axis],
                (shape[rows], shape[columns]),
                (1.0, 1.0),
            )
        )
    return planes
