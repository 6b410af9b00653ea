"""What a registration of two scans gives: maps from grid to grid, and what is done with them.

    PairTransform ─┬─ forward:  fixed grid ─▶ moving voxels ─┬─ pull ─▶ scan or labels on the grid
                   └─ backward: moving grid ─▶ fixed voxels ─┴─ displacement ─▶ RAS mm

Fields are evaluated on a lattice of every few voxels and interpolated, slab by slab, so that a scan
of any size needs little memory besides its own.
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
from deepstd.geometry import resample
from deepstd.registration.cycle import CycleFields
from deepstd.shape.field import lattice_stride
from deepstd.shape.siren import BACKWARD, FORWARD

_SLAB_VOXELS = 1 << 20
_NODES_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels in the world.

    Attributes:
        shape: 2 or 3 axes.
        affine: (4, 4) voxel-to-world matrix in RAS mm; None where the world is the voxels.
    """

    shape: tuple[int, ...]
    affine: np.ndarray | None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def directions(self) -> np.ndarray:
        """(3, ndim) mm per voxel."""
        affine = np.eye(4) if self.affine is None else np.asarray(self.affine, np.float64)
        return affine[:3, : self.ndim]

    @property
    def origin(self) -> np.ndarray:
        """(3,) where the first voxel is."""
        return np.zeros(3) if self.affine is None else np.asarray(self.affine, np.float64)[:3, 3]

    @property
    def centre(self) -> np.ndarray:
        """(ndim,) voxel coordinates of the centre."""
        return (np.array(self.shape, dtype=np.float64) - 1) / 2

    @property
    def reach(self) -> np.ndarray:
        """(ndim,) voxels in half the longest extent, along each axis."""
        spacing = np.linalg.norm(self.directions, axis=0)
        return float(np.max(spacing * np.array(self.shape))) / 2 / spacing

    def world(self, voxels: np.ndarray) -> np.ndarray:
        """(…, 3) mm at (…, ndim) voxel coordinates."""
        return voxels @ self.directions.T + self.origin

    def voxels(self, world: np.ndarray) -> np.ndarray:
        """(…, ndim) voxel coordinates of (…, 3) mm."""
        return (world - self.origin) @ np.linalg.pinv(self.directions).T


@dataclass(frozen=True, eq=False)
class GridMap:
    """Where each voxel of one grid lies on another.

    Attributes:
        source: the grid whose voxels are mapped.
        target: the grid they are found on.
        linear: (ndim + 1, ndim + 1), source voxels to target voxels without the field.
        nodes: (ndim, *nodes) displacement in target voxels at every few source voxels, or None.
    """

    source: Grid
    target: Grid
    linear: np.ndarray
    nodes: Tensor | None

    def pull(self, values: np.ndarray, *, nearest: bool = False, fill: float = 0.0) -> np.ndarray:
        """An image on the target grid, brought to the source grid.

        Args:
            values: of the target's shape; the result has its type.
            nearest: the nearest voxel's value, as labels need it; else linear interpolation.
            fill: value of what lies outside.

        Raises:
            InputError: the shape is another.
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
        """float32 (3, *source shape): RAS mm from each voxel to where it lies."""
        result = np.empty((3, *self.source.shape), np.float32)
        for rows, at in self._slabs():
            here = self._indices(rows)
            moved = self.target.world(at.numpy()) - self.source.world(here.numpy())
            result[:, rows] = np.moveaxis(moved, -1, 0)
        return result

    def _slabs(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows of the source grid, and float64 target voxels (rows, …, ndim) of theirs."""
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
    """Where two scans lie in each other.

    Attributes:
        fixed, moving: their grids.
        to_moving: (ndim + 1, ndim + 1), field coordinates of the fixed scan to moving voxels: the
            headers and the affine stage.
        fields: what the affine stage leaves to do, or None.
    """

    fixed: Grid
    moving: Grid
    to_moving: np.ndarray
    fields: CycleFields | None

    @cached_property
    def forward(self) -> GridMap:
        """From the fixed scan's grid to the moving scan."""
        to_field = np.linalg.inv(self._to_fixed)
        nodes = self._nodes(FORWARD, self.fixed, to_field, self.to_moving[:-1, :-1])
        return GridMap(self.fixed, self.moving, self.to_moving @ to_field, nodes)

    @cached_property
    def backward(self) -> GridMap:
        """From the moving scan's grid to the fixed scan."""
        to_field = np.linalg.inv(self.to_moving)
        nodes = self._nodes(BACKWARD, self.moving, to_field, self._to_fixed[:-1, :-1])
        return GridMap(self.moving, self.fixed, self._to_fixed @ to_field, nodes)

    def warp(self, values: np.ndarray, *, nearest: bool = False, fill: float = 0.0) -> np.ndarray:
        """An image on the moving grid, brought to the fixed grid; see `GridMap.pull`."""
        return self.forward.pull(values, nearest=nearest, fill=fill)

    def warp_back(
        self, values: np.ndarray, *, nearest: bool = False, fill: float = 0.0
    ) -> np.ndarray:
        """An image on the fixed grid, brought to the moving grid; see `GridMap.pull`."""
        return self.backward.pull(values, nearest=nearest, fill=fill)

    def displacement(self) -> np.ndarray:
        """float32 (3, *fixed shape): RAS mm from fixed points to moving points."""
        return self.forward.displacement()

    def inverse_displacement(self) -> np.ndarray:
        """float32 (3, *moving shape): RAS mm from moving points to fixed points."""
        return self.backward.displacement()

    @property
    def _to_fixed(self) -> np.ndarray:
        """Field coordinates to fixed voxels."""
        result = np.diag([*self.fixed.reach, 1.0])
        result[:-1, -1] = self.fixed.centre
        return result

    @torch.no_grad()
    def _nodes(
        self, field: int, grid: Grid, to_field: np.ndarray, to_target: np.ndarray
    ) -> Tensor | None:
        """A field's displacements in target voxels at every few voxels of a grid."""
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
    """(1, 1, *shape) in a float type that holds the values."""
    wide = values.dtype.itemsize > 4 or (values.dtype.itemsize == 4 and values.dtype.kind in "iu")
    kind = np.float64 if wide else np.float32
    return torch.from_numpy(np.ascontiguousarray(values, dtype=kind))[None, None]
