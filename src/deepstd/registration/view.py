"""Scans of a pair at reduced resolution, normalised, in shared field coordinates.

    scan ─ box average ─▶ View: values, mask; field coordinates ─▶ voxels of the view

Field coordinates belong to the fixed scan: 0 is its centre, and one unit is half its longest extent
along every axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from deepstd.errors import InputError
from deepstd.resampling import resample

_FEWEST = 12  # voxels that averaging leaves along an axis, where there are as many
_SLAB_VOXELS = 1 << 23  # bounds the memory of the average


@dataclass(frozen=True, eq=False)
class View:
    """Scan at reduced resolution.

    Attributes:
        image: (1, 2, *shape) float32: values of mean 0 and variance 1, times mask; mask, 0 to 1.
        matrix, offset: (ndim, ndim) and (ndim,): voxel coordinates are matrix · q + offset.
    """

    image: Tensor
    matrix: Tensor
    offset: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(self.image.shape[2:])

    @cached_property
    def voxels(self) -> Tensor:
        """Flat indices of the voxels within the mask, (N,)."""
        return self.image[0, 1].flatten().gt(0.5).nonzero()[:, 0]

    def values(self, voxels: Tensor) -> Tensor:
        """Return the normalised values of voxels, given by flat index; (N,)."""
        return self.image[0, 0].flatten()[voxels]

    def coordinates(self, voxels: Tensor) -> Tensor:
        """Return the field coordinates of voxels, given by flat index; (N, ndim)."""
        index = torch.stack(torch.unravel_index(voxels, self.shape), -1).to(self.matrix.dtype)
        return (index - self.offset) @ torch.linalg.inv(self.matrix).T

    def at(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Interpolate values and mask at field coordinates, (N, ndim).

        Returns:
            Values, (N,), 0 outside the mask; and the mask, (N,), 0 or 1, without gradient.
        """
        value, mask = resample(self.image, (q @ self.matrix.T + self.offset)[None], "zeros")[0]
        mask = mask.detach()
        inside = (mask > 0.5).to(value.dtype)
        return value / mask.clamp_min(0.5) * inside, inside

    def moved(self, matrix: Tensor, offset: Tensor) -> View:
        """Return the view composed with a map; its value at q is the old at matrix · q + offset."""
        return View(self.image, self.matrix @ matrix, self.matrix @ offset + self.offset)

    def coarser(self, size: float) -> View:
        """Return the view averaged over boxes of about a size in field coordinates."""
        boxes = _boxes(self.shape, self.matrix, size)
        if max(boxes) == 1:
            return self
        image = _pooled(self.image, boxes)
        return _laid(image / image[:, 1:].clamp_min(1e-6), image, self.matrix, self.offset, boxes)


def view_of(volume: np.ndarray, matrix: np.ndarray, offset: np.ndarray, size: float) -> View:
    """Average a scan over boxes and normalise it.

    Args:
        volume: scan of 2 or 3 axes, any real type; non-finite voxels are masked out.
        matrix, offset: voxel coordinates of the scan are matrix · q + offset.
        size: edge of the boxes in field coordinates, rounded to whole voxels.

    Raises:
        InputError: no voxel is finite, or all have one value.
    """
    affine = torch.from_numpy(matrix).float(), torch.from_numpy(offset).float()
    boxes = _boxes(volume.shape, affine[0], size)
    rows = boxes[0] * max(1, _SLAB_VOXELS // max(1, volume[0].size * boxes[0]))
    slabs = [_averaged(volume[at : at + rows], boxes) for at in range(0, len(volume), rows)]
    image = torch.cat(slabs, 2)
    known = image[:, 1:] > 0.5
    values = image[:, :1] / image[:, 1:].clamp_min(1e-6)
    if not known.any() or not float(values[known].std(correction=0)) > 0:
        raise InputError("no two voxels of the scan differ: there is nothing to register")
    return _laid(values, image, *affine, boxes)


def _laid(
    values: Tensor, image: Tensor, matrix: Tensor, offset: Tensor, boxes: Sequence[int]
) -> View:
    """Return a view of averaged values, normalised, with its map scaled to the boxes."""
    known = image[:, 1:] > 0.5
    values = values[:, :1]
    mean, spread = values[known].mean(), values[known].std(correction=0)
    values = (values - mean) / spread.clamp_min(1e-12)
    box = torch.tensor(boxes, dtype=matrix.dtype)
    return View(
        torch.cat([values * image[:, 1:], image[:, 1:]], 1),
        matrix / box[:, None],
        (offset - (box - 1) / 2) / box,
    )


def _boxes(shape: Sequence[int], matrix: Tensor, size: float) -> list[int]:
    """Return the voxels to average along each axis; an axis keeps a dozen where it has as many."""
    steps = torch.linalg.inv(matrix).norm(dim=0).tolist()
    return [
        max(1, min(round(size / step), n // _FEWEST)) for step, n in zip(steps, shape, strict=True)
    ]


def _averaged(slab: np.ndarray, boxes: Sequence[int]) -> Tensor:
    values = torch.from_numpy(np.ascontiguousarray(slab, dtype=np.float32))
    known = torch.isfinite(values)
    image = torch.stack([values.where(known, torch.zeros(())), known.float()])
    return _pooled(image[None], boxes)


def _pooled(image: Tensor, boxes: Sequence[int]) -> Tensor:
    if max(boxes) == 1:
        return image
    pool = F.avg_pool2d if image.ndim == 4 else F.avg_pool3d
    return pool(image, list(boxes), ceil_mode=True, count_include_pad=False)
