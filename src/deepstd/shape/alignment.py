"""Scans and template resampled to a canvas: the template's grid at reduced resolution.

    scan, base map ─ box average, sample ─▶ canvas (values and mask) ─▶ mean 0, variance 1
    template ─ box average ─▶ canvas

The paper registers at half resolution (Methods, "Gradual degradation strategy").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.errors import GeometryError
from deepstd.geometry import COORDINATE_BITS, BaseMap, base_map
from deepstd.shape.model import TEMPLATE_MAX, ShapeModel
from deepstd.shape.products import product
from deepstd.shape.sampling import sampled

_LONGEST_CANVAS = 128  # voxels; bounds time and memory of a registration


@dataclass(frozen=True, eq=False)
class Frame:
    """Relation of field coordinates q, template voxels t and canvas voxels c.

    t = centre + reach·q;  c = (t − (factor − 1)/2) / factor, along each axis.

    Attributes:
        template_shape: voxels of the template along each axis.
        reach: (ndim,) float32, template voxels in a unit of q.
        factors: template voxels that a canvas voxel averages, along each axis.
    """

    template_shape: tuple[int, ...]
    reach: np.ndarray
    factors: tuple[int, ...]

    @property
    def canvas_shape(self) -> tuple[int, ...]:
        """Canvas voxels along each axis."""
        return tuple(-(-n // f) for n, f in zip(self.template_shape, self.factors, strict=True))

    @property
    def centre(self) -> np.ndarray:
        """Centre of the template in template voxels, (ndim,)."""
        return np.array([(n - 1) / 2 for n in self.template_shape], np.float32)

    @property
    def canvas_reach(self) -> np.ndarray:
        """Canvas voxels in a unit of q, (ndim,)."""
        return self.reach / np.array(self.factors, np.float32)

    @property
    def canvas_centre(self) -> np.ndarray:
        """Centre of the template in canvas voxels, (ndim,)."""
        factors = np.array(self.factors, np.float32)
        return (self.centre - (factors - 1) / 2) / factors

    def nodes(self) -> np.ndarray:
        """Return the field coordinates of all canvas voxels, float32 (N, ndim)."""
        axes = [
            ((np.arange(n, dtype=np.float32) * f + (f - 1) / 2) - centre) / reach
            for n, f, centre, reach in zip(
                self.canvas_shape, self.factors, self.centre, self.reach, strict=True
            )
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


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
    pixels = reach.astype(np.float32) / np.float32(1 << COORDINATE_BITS)
    return Frame(tuple(template_shape), pixels, tuple(factors))


def align(volume: np.ndarray, placement: BaseMap, frame: Frame, at: np.ndarray) -> np.ndarray:
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
    mask = np.isfinite(volume)
    both = np.stack([np.where(mask, volume, 0), mask]).astype(np.float32)
    matrix, offset = placement.as_float()
    lengths = np.linalg.norm(matrix / np.reshape(frame.factors, (-1, 1)), axis=0)
    wanted = np.rint(1 / lengths).astype(int).tolist()
    box = [max(1, min(n, w)) for w, n in zip(wanted, volume.shape, strict=True)]
    both = averaged(both, box)
    t = (frame.centre + frame.reach * at).astype(np.float64)
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError as error:
        raise GeometryError(
            "the scan cannot be laid on the template: its voxels are too thin"
        ) from error
    index = product(t - offset, inverse.T)
    index = (index - (np.array(box) - 1) / 2) / box
    values, share = sampled(both, index.T.astype(np.float32), edge=False)
    covered = share > 0.5
    return np.stack([values / np.maximum(share, 0.5) * covered, covered]).astype(np.float32)


def averaged(images: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """Average images over boxes; those at the far ends may be smaller.

    Args:
        images: float32 (C, *shape).
        box: voxels of a box along each axis.
    """
    for axis, (size, length) in enumerate(zip(box, images.shape[1:], strict=True), 1):
        if size > 1:
            starts = np.arange(0, length, size)
            counts = np.minimum(length - starts, size).astype(np.float32)
            images = np.add.reduceat(images, starts, axis)
            images /= counts.reshape(-1, *[1] * (images.ndim - 1 - axis))
    return images


def normalised(canvases: np.ndarray) -> np.ndarray:
    """Normalise each scan to mean 0 and variance 1 within its mask.

    Args:
        canvases: (B, 2, *canvas), grey values and masks.

    Returns:
        (B, 2, *canvas); grey values are 0 outside the mask.
    """
    values, mask = canvases[:, :1], canvases[:, 1:]
    axes = tuple(range(1, canvases.ndim))
    count = np.maximum(mask.sum(axes, keepdims=True), 1)
    centred = (values - (values * mask).sum(axes, keepdims=True) / count) * mask
    spread = np.sqrt((centred**2).sum(axes, keepdims=True) / count)
    return np.concatenate([centred / np.maximum(spread, 1e-12), mask], 1)


def template_canvas(model: ShapeModel, frame: Frame) -> np.ndarray:
    """Return the template averaged to the canvas, float32 (*canvas), 0 to 1."""
    return averaged(model.template[None] / np.float32(TEMPLATE_MAX), frame.factors)[0]


def canvas_of(
    volume: np.ndarray, affine: np.ndarray | None, model: ShapeModel, frame: Frame
) -> np.ndarray:
    """Resample a scan to the canvas by its base map.

    Args:
        volume: float32, 2 or 3 axes; non-finite voxels are masked out.
        affine: (4, 4) voxel-to-world matrix in mm, or None.
        model: shape model with the template.
        frame: frame of registration.

    Returns:
        float32 (2, *canvas): grey values and mask.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    placement = base_map(volume.shape, affine, model.template.shape, model.affine)
    return align(volume, placement, frame, frame.nodes()).reshape(2, *frame.canvas_shape)
