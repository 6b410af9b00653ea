"""What shape gives to texture: the template on the scan's grid, and every voxel's place in it.

    base map, field code ─▶ template coordinates ┬─ warp ─▶ template, 0 … 1023
                                                 └─ scale ─▶ place, −64 … 64 along each axis

All integers, so encoder and decoder see the same on every machine.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from deepstd.devices import CPU, Workers
from deepstd.geometry import COORDINATE_BITS, base_map
from deepstd.shape.field import template_coordinates, warp_template
from deepstd.shape.model import FieldCode, ShapeModel

_PLACE_ONE = 128
_REGION_VOXELS = 1 << 20


class Conditioning(NamedTuple):
    """``template``: int32 (1, 1, *shape), 0 to 1023. ``places``: int16 (1, ndim, *shape)."""

    template: torch.Tensor
    places: torch.Tensor


def condition_on(
    model: ShapeModel,
    code: FieldCode | None,
    shape: tuple[int, ...],
    affine: np.ndarray | None,
    workers: Workers = CPU,
) -> Conditioning:
    """Warp the template onto a scan's grid by its decoded field (None: by the headers alone).

    Workers take a region each (Fig. 4b of the paper); the result lies on the first device.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    placement = base_map(shape, affine, model.template.shape, model.affine)

    def region(device: torch.device, rows: slice) -> Conditioning:
        window = [rows, *[slice(None)] * (len(shape) - 1)]
        coordinates = template_coordinates(model, placement, code, window, device)
        template = warp_template(model, coordinates)
        extents = torch.tensor(model.template.shape, device=device, dtype=torch.int64)
        extents = (extents << COORDINATE_BITS).reshape(-1, *[1] * len(shape))
        places = torch.div(coordinates.long() * _PLACE_ONE, extents, rounding_mode="floor")
        places = (places - _PLACE_ONE // 2).clamp(-_PLACE_ONE // 2, _PLACE_ONE // 2)
        return Conditioning(
            template[None, None].to(workers.first), places.to(torch.int16)[None].to(workers.first)
        )

    # Every region evaluates the field's lattice anew: small scans are not worth dividing.
    count = min(len(workers.devices), max(1, math.prod(shape) // _REGION_VOXELS))
    height = -(-shape[0] // count)
    parts = workers.map(region, [slice(s, s + height) for s in range(0, shape[0], height)])
    templates, places = zip(*parts, strict=True)
    return Conditioning(torch.cat(templates, 2), torch.cat(places, 2))
