"""Transform between two scans: maps from grid to grid, warping and displacement fields.

    PairTransform ─┬─ forward:  fixed grid ─▶ moving voxels ─┬─ pull ─▶ scan or labels on the grid
                   └─ backward: moving grid ─▶ fixed voxels ─┴─ displacement ─▶ RAS mm

Fields are evaluated on a lattice of every few voxels and interpolated slab by slab. A scan of any
size needs little memory besides its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from deepstd.errors import InputError
from deepstd.registration.cycle import CycleFields
from deepstd.resampling import resample
from deepstd.shape.field import lattice_stride
from deepstd.shape.siren import BACKWARD, FORWARD

# Bounds on memory: voxels warped and lattice nodes evaluated at once.
_SLAB_VOXELS = 1 << 20
_NODES_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel grid of a scan in the world.

    Attributes:
        shape: voxels along 2 or 3 axes.
        affine: (4, 4) voxel-to-world matrix in RAS mm; None for the identity.
    """

    shape: tuple[int, ...]
    affine: np.ndarray | None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def directions(self) -> np.ndarray:
        """Step of a voxel along each axis, (3, ndim) in mm."""
        affine = np.eye(4) if self.affine is None else np.asarray(self.affine, np.float64)
        return affine[:3, : self.ndim]

    @property
    def origin(self) -> np.ndarray:
        """World coordinates of the first voxel, (3,) in mm."""
        return np.zeros(3) if self.affine is None else np.asarray(self.affine, np.float64)[:3, 3]

    @property
    def centre(self) -> np.ndarray:
        """Voxel coordinates of the centre, (ndim,)."""
        return (np.array(self.shape, dtype=np.float64) - 1) / 2

    @property
    def reach(self) -> np.ndarray:
        """Voxels in half the longest extent, (ndim,): a unit of field coordinates."""
        spacing = np.linalg.norm(self.directions, axis=0)
        return float(np.max(spacing * np.array(self.shape))) / 2 / spacing

    def world(self, voxels: np.ndarray) -> np.ndarray:
        """Convert voxel coordinates, (…, ndim), to world coordinates, (…, 3) in mm."""
        return voxels @ self.directions.T + self.origin

    def voxels(self, world: np.ndarray) -> np.ndarray:
        """Convert world coordinates, (…, 3) in mm, to voxel coordinates, (…, ndim)."""
        return (world - self.origin) @ np.linalg.pinv(self.directions).T


@dataclass(frozen=True, eq=False)
class GridMap:
    """Map from the voxels of a source grid to voxel coordinates of a target grid.

    Attributes:
        source: grid whose voxels are mapped.
        target: grid that the voxels are mapped to.
        linear: (ndim + 1, ndim + 1), homogeneous map of voxels without the field.
        nodes: (ndim, *nodes) displacement in target voxels at every few source voxels, or None.
    """

    source: Grid
    target: Grid
    linear: np.ndarray
    nodes: Tensor | None

    def pull(self, values: np.ndarray, *, nearest: bool = False, fill: float = 0.0) -> np.ndarray:
        """Warp an image from the target grid to the source grid.

        Args:
            values: image of the target's shape.
            nearest: nearest neighbour, for labels, instead of linear interpolation.
            fill: value outside the image.

        Returns:
            Image of the source's shape and the type of ``values``.

        Raises:
            InputError: the shape is not the target's.
        """
        if values.shape != self.target.shape:
            raise InputError(
                f"the image to warp has shape {values.shape}: expected {self.target.shape}"
            )
        result = np.full(self.source.shape, fill, dtype=values.dtype)
        last = torch.tensor(self.target.shape) - 1
        image = None if nearest else _image(values)
        for rows, at in self._slabs():
            inside = ((at >= -0.5) & (at <= last + 0.5)).all(-1).numpy()
            if image is None:
                index = at.round().long().clamp_min(0).minimum(last)
                found = values[tuple(index.movedim(-1, 0).numpy())]
            else:
                found = resample(image, at[None].to(image.dtype))[0, 0].numpy()
                if values.dtype.kind in "iub":
                    found = np.rint(found)
            result[rows] = np.where(inside, found, fill)
        return result

    def displacement(self) -> np.ndarray:
        """Return the displacement of each source voxel, float32 (3, *source) in RAS mm."""
        result = np.empty((3, *self.source.shape), np.float32)
        for rows, at in self._slabs():
            here = self._indices(rows)
            moved = self.target.world(at.numpy()) - self.source.world(here.numpy())
            result[:, rows] = np.moveaxis(moved, -1, 0)
        return result

    def _slabs(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows of the source grid and their target voxels, float64 (rows, …, ndim)."""
        count = max(1, _SLAB_VOXELS // math.prod(self.source.shape[1:]))
        linear = torch.from_numpy(self.linear)
        for start in range(0, self.source.shape[0], count):
            rows = slice(start, min(start + count, self.source.shape[0]))
            at = self._indices(rows) @ linear[:-1, :-1].T + linear[:-1, -1]
            if self.nodes is not None:
                at += self._interpolated(self.nodes, rows).movedim(0, -1)
            yield rows, at

    def _indices(self, rows: slice) -> Tensor:
        axes = [torch.arange(n, dtype=torch.float64) for n in self.source.shape]
        axes[0] = axes[0][rows]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)

    def _interpolated(self, values: Tensor, rows: slice) -> Tensor:
        for axis, n in enumerate(self.source.shape):
            stride = lattice_stride(n)
            index = torch.arange(n)[rows] if axis == 0 else torch.arange(n)
            low = index // stride
            part = (index - low * stride) / stride
            part = part.reshape([-1 if a == axis + 1 else 1 for a in range(values.ndim)])
            first = values.index_select(axis + 1, low)
            if stride > 1:
                first = first + part * (values.index_select(axis + 1, low + 1) - first)
            values = first
        return values


@dataclass(frozen=True, eq=False)
class PairTransform:
    """Transform between a fixed and a moving scan, in both directions.

    Attributes:
        fixed, moving: grids of the scans.
        to_moving: (ndim + 1, ndim + 1), homogeneous map of field coordinates to moving voxels, from
            the headers and the affine stage.
        fields: deformation beyond the affine stage, or None.
    """

    fixed: Grid
    moving: Grid
    to_moving: np.ndarray
    fields: CycleFields | None

    @cached_property
    def forward(self) -> GridMap:
        """Map from fixed voxels to moving voxels."""
        to_field = np.linalg.inv(self._to_fixed)
        nodes = self._nodes(FORWARD, self.fixed, to_field, self.to_moving[:-1, :-1])
        return GridMap(self.fixed, self.moving, self.to_moving @ to_field, nodes)

    @cached_property
    def backward(self) -> GridMap:
        """Map from moving voxels to fixed voxels."""
        to_field = np.linalg.inv(self.to_moving)
        nodes = self._nodes(BACKWARD, self.moving, to_field, self._to_fixed[:-1, :-1])
        return GridMap(self.moving, self.fixed, self._to_fixed @ to_field, nodes)

    def warp(self, values: np.ndarray, *, nearest: bool = False, fill: float = 0.0) -> np.ndarray:
        """Warp an image from the moving grid to the fixed grid.

        Args:
            values: image of the moving shape.
            nearest: nearest neighbour, for labels, instead of linear interpolation.
            fill: value outside the image.

        Returns:
            Image of the fixed shape and the type of ``values``.

        Raises:
            InputError: the shape is not the moving scan's.
        """
        return self.forward.pull(values, nearest=nearest, fill=fill)

    def warp_back(
        self, values: np.ndarray, *, nearest: bool = False, fill: float = 0.0
    ) -> np.ndarray:
        """Warp an image from the fixed grid to the moving grid.

        Args:
            values: image of the fixed shape.
            nearest: nearest neighbour, for labels, instead of linear interpolation.
            fill: value outside the image.

        Returns:
            Image of the moving shape and the type of ``values``.

        Raises:
            InputError: the shape is not the fixed scan's.
        """
        return self.backward.pull(values, nearest=nearest, fill=fill)

    def displacement(self) -> np.ndarray:
        """Return the displacement from fixed to moving points, float32 (3, *fixed) in RAS mm."""
        return self.forward.displacement()

    def inverse_displacement(self) -> np.ndarray:
        """Return the displacement from moving to fixed points, float32 (3, *moving) in RAS mm."""
        return self.backward.displacement()

    @property
    def _to_fixed(self) -> np.ndarray:
        """Homogeneous map of field coordinates to fixed voxels, (ndim + 1, ndim + 1)."""
        result = np.diag([*self.fixed.reach, 1.0])
        result[:-1, -1] = self.fixed.centre
        return result

    @torch.no_grad()
    def _nodes(
        self, field: int, grid: Grid, to_field: np.ndarray, to_target: np.ndarray
    ) -> Tensor | None:
        """Return the displacement in target voxels on a grid's lattice; None without fields.

        Args:
            field: `FORWARD` or `BACKWARD`.
            grid: source grid.
            to_field: homogeneous map of source voxels to field coordinates.
            to_target: (ndim, ndim), field coordinates to target voxels.
        """
        if self.fields is None:
            return None
        axes = []
        for n in grid.shape:
            stride = lattice_stride(n)
            axes.append(torch.arange(0, n + stride, stride, dtype=torch.float64))
        voxels = torch.cartesian_prod(*axes)
        linear = torch.from_numpy(to_field)
        q = (voxels @ linear[:-1, :-1].T + linear[:-1, -1]).float()
        moved = [self.fields.displacement(field, part) for part in q.split(_NODES_AT_ONCE)]
        target = torch.cat(moved) @ torch.from_numpy(to_target).float().T
        return target.T.reshape(grid.ndim, *[len(axis) for axis in axes])


def _image(values: np.ndarray) -> Tensor:
    """Return an image, (1, 1, *shape), in a float type that holds its values exactly."""
    wide = values.dtype.itemsize > 4 or (values.dtype.itemsize == 4 and values.dtype.kind in "iu")
    kind = np.float64 if wide else np.float32
    return torch.from_numpy(np.ascontiguousarray(values, dtype=kind))[None, None]
