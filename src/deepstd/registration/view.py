"""The two scans of a pair as registration sees them: small, normalised, in one frame.

    scan ─ box average ─▶ View: values, mask; field coordinates ─▶ its voxels

Field coordinates are those of the fixed scan: its centre is 0, and one unit is half its longest
extent along every axis.
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
from deepstd.geometry import resample

_FEWEST = 12
_SLAB_VOXELS = 1 << 23


@dataclass(frozen=True, eq=False)
class View:
    """A scan at reduced resolution.

    Attributes:
        image: (1, 2, *shape) float32: values of mean 0 and variance 1, times mask; mask, 0 to 1.
        matrix, offset: (ndim, ndim) and (ndim,): its voxels are matrix · q + offset.
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
        """(N,) flat indices of the voxels that are part of the scan."""
        return self.image[0, 1].flatten().gt(0.5).nonzero()[:, 0]

    def values(self, voxels: Tensor) -> Tensor:
        """(N,) grey values of voxels."""
        return self.image[0, 0].flatten()[voxels]

    def coordinates(self, voxels: Tensor) -> Tensor:
        """(N, ndim) field coordinates of voxels."""
        index = torch.stack(torch.unravel_index(voxels, self.shape), -1).to(self.matrix.dtype)
        return (index - self.offset) @ torch.linalg.inv(self.matrix).T

    def at(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Grey values and mask (0 or 1, without gradient), (N,), at (N, ndim) coordinates."""
        value, mask = resample(self.image, (q @ self.matrix.T + self.offset)[None], "zeros")[0]
        mask = mask.detach()
        inside = (mask > 0.5).to(value.dtype)
        return value / mask.clamp_min(0.5) * inside, inside

    def moved(self, matrix: Tensor, offset: Tensor) -> View:
        """The view as seen from coordinates that ``matrix · q + offset`` leads away from."""
        return View(self.image, self.matrix @ matrix, self.matrix @ offset + self.offset)

    def coarser(self, size: float) -> View:
        """The view averaged over boxes of about that size in field coordinates."""
        boxes = _boxes(self.shape, self.matrix, size)
        if max(boxes) == 1:
            return self
        image = _pooled(self.image, boxes)
        return _laid(image / image[:, 1:].clamp_min(1e-6), image, self.matrix, self.offset, boxes)


def view_of(volume: np.ndarray, matrix: np.ndarray, offset: np.ndarray, size: float) -> View:
    """A scan averaged over boxes of about a size.

    Args:
        volume: 2 or 3 axes, any real type; what is not finite is not part of the scan.
        matrix, offset: its voxels are matrix · q + offset.
        size: of the boxes, in field coordinates.

    Raises:
        InputError: no voxel is finite, or all are alike.
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
    """Values normalised, and the map to the voxels that boxes have become."""
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
    """How many voxels to average along each axis; an axis keeps a dozen where it has them."""
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
