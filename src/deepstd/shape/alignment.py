"""Scans and template resampled to a canvas: the template's grid at reduced resolution.

    scan, base map ─ box average, sample ─▶ canvas (values and mask) ─▶ mean 0, variance 1
    template ─ box average ─▶ canvas

The paper registers at half resolution (Methods, "Gradual degradation strategy").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from deepstd.errors import GeometryError
from deepstd.geometry import COORDINATE_BITS, BaseMap, base_map, resample
from deepstd.shape.model import TEMPLATE_MAX, ShapeModel

_LONGEST_CANVAS = 128  # voxels; bounds time and memory of a registration


@dataclass(frozen=True, eq=False)
class Frame:
    """Relation of field coordinates q, template voxels t and canvas voxels c.

    t = centre + reach·q;  c = (t − (factor − 1)/2) / factor, along each axis.

    Attributes:
        template_shape: voxels of the template along each axis.
        reach: (ndim,) template voxels in a unit of q.
        factors: template voxels that a canvas voxel averages, along each axis.
    """

    template_shape: tuple[int, ...]
    reach: Tensor
    factors: tuple[int, ...]

    @property
    def canvas_shape(self) -> tuple[int, ...]:
        """Canvas voxels along each axis."""
        return tuple(-(-n // f) for n, f in zip(self.template_shape, self.factors, strict=True))

    @property
    def centre(self) -> Tensor:
        """Centre of the template in template voxels, (ndim,)."""
        return self.reach.new_tensor([(n - 1) / 2 for n in self.template_shape])

    @property
    def canvas_reach(self) -> Tensor:
        """Canvas voxels in a unit of q, (ndim,)."""
        return self.reach / self._factors

    @property
    def _factors(self) -> Tensor:
        return self.reach.new_tensor(self.factors)

    def to(self, device: torch.device | str) -> Frame:
        """Return the frame on another device."""
        return Frame(self.template_shape, self.reach.to(device), self.factors)

    def to_template(self, q: Tensor) -> Tensor:
        """Convert field coordinates, (…, ndim), to template voxels."""
        return self.centre + self.reach * q

    def to_canvas(self, q: Tensor) -> Tensor:
        """Convert field coordinates, (…, ndim), to canvas voxels."""
        return (self.to_template(q) - (self._factors - 1) / 2) / self._factors

    def nodes(self) -> Tensor:
        """Return the field coordinates of all canvas voxels, (N, ndim)."""
        axes = [torch.arange(n, device=self.reach.device) for n in self.canvas_shape]
        t = torch.cartesian_prod(*axes) * self._factors + (self._factors - 1) / 2
        return (t - self.centre) / self.reach


def canvas_frame(template_shape: tuple[int, ...], reach: np.ndarray) -> Frame:
    """Return the frame of registration: half the template's resolution, at most 128 voxels long.

    Fewer voxels are averaged along axes of wide spacing, to keep canvas voxels nearly isotropic.

    Args:
        template_shape: voxels of the template along each axis.
        reach: (ndim,) 1/256 template voxels in a unit of field coordinates.
    """
    factor = 2
    while max(template_shape) > _LONGEST_CANVAS * factor:
        factor *= 2
    factors = np.maximum(1, np.rint(factor * reach / reach.max())).astype(int).tolist()
    pixels = torch.from_numpy(reach.astype(np.float32)) / (1 << COORDINATE_BITS)
    return Frame(tuple(template_shape), pixels, tuple(factors))


def align(volume: np.ndarray, placement: BaseMap, frame: Frame, at: Tensor) -> Tensor:
    """Sample the grey values and the mask of a scan at field coordinates.

    The scan is averaged over boxes of the canvas voxel's size first, against aliasing.

    Args:
        volume: float32, 2 or 3 axes; non-finite voxels are masked out.
        placement: base map of the scan, scan voxels to template voxels.
        frame: its factors give the size of the averaged boxes.
        at: (N, ndim) field coordinates.

    Returns:
        float32 (2, N): grey values, 0 outside the mask, and the mask, 0 or 1.

    Raises:
        GeometryError: the base map is singular in float64.
    """
    values = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))
    mask = torch.isfinite(values)
    both = torch.stack([torch.where(mask, values, torch.zeros_like(values)), mask.float()])[None]
    matrix, offset = placement.as_float()
    lengths = np.linalg.norm(matrix / np.reshape(frame.factors, (-1, 1)), axis=0)
    wanted = np.rint(1 / lengths).astype(int).tolist()
    box = [max(1, min(n, w)) for w, n in zip(wanted, volume.shape, strict=True)]
    if max(box) > 1:
        pool = F.avg_pool2d if volume.ndim == 2 else F.avg_pool3d
        both = pool(both, box, ceil_mode=True, count_include_pad=False)
    t = frame.to_template(at).double().cpu().numpy()
    try:
        index = np.linalg.solve(matrix, (t - offset).T).T
    except np.linalg.LinAlgError as error:
        raise GeometryError(
            "the scan cannot be laid on the template: its voxels are too thin"
        ) from error
    index = (index - (np.array(box) - 1) / 2) / np.array(box)
    sampled = resample(both, torch.from_numpy(index.astype(np.float32))[None], "zeros")[0]
    covered = sampled[1] > 0.5
    return torch.stack([sampled[0] / sampled[1].clamp_min(0.5) * covered, covered.float()])


def normalised(canvases: Tensor) -> Tensor:
    """Normalise each scan to mean 0 and variance 1 within its mask.

    Args:
        canvases: (B, 2, *canvas), grey values and masks.

    Returns:
        (B, 2, *canvas); grey values are 0 outside the mask.
    """
    values, mask = canvases[:, :1], canvases[:, 1:]
    axes = list(range(1, canvases.ndim))
    count = mask.sum(axes, keepdim=True).clamp_min(1)
    centred = (values - (values * mask).sum(axes, keepdim=True) / count) * mask
    spread = ((centred**2).sum(axes, keepdim=True) / count).sqrt().clamp_min(1e-12)
    return torch.cat([centred / spread, mask], 1)


def template_canvas(model: ShapeModel, frame: Frame) -> Tensor:
    """Return the template averaged to the canvas, (1, 1, *canvas), 0 to 1."""
    image = torch.from_numpy(model.template.astype(np.float32))[None, None] / TEMPLATE_MAX
    pool = F.avg_pool2d if model.ndim == 2 else F.avg_pool3d
    return pool(image, frame.factors, ceil_mode=True, count_include_pad=False)


def canvas_of(
    volume: np.ndarray, affine: np.ndarray | None, model: ShapeModel, frame: Frame
) -> Tensor:
    """Resample a scan to the canvas by its base map.

    Args:
        volume: float32, 2 or 3 axes; non-finite voxels are masked out.
        affine: (4, 4) voxel-to-world matrix in mm, or None.
        model: shape model with the template.
        frame: frame of registration.

    Returns:
        float32 (1, 2, *canvas): grey values and mask.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    placement = base_map(volume.shape, affine, model.template.shape, model.affine)
    return align(volume, placement, frame, frame.nodes()).reshape(1, 2, *frame.canvas_shape)
