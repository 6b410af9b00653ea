"""Computation of the conditioning: warped template and coordinates of every voxel.

base map, field code ─▶ template coordinates ┬─ warp ─▶ template, 0 … 1023
                                             └─ scale ─▶ coordinates, −64 … 64
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.conditioning import Conditioning
from deepstd.devices import CPU, Workers
from deepstd.geometry import COORDINATE_BITS, base_map
from deepstd.shape.field import DisplacementLattice, coordinates_within, warp_template
from deepstd.shape.model import FieldCode, ShapeModel

_PLACE_ONE = 128  # units of the coordinates across the template
_REGION_VOXELS = 1 << 20  # fewer voxels are not worth a thread


def condition_on(
    model: ShapeModel,
    code: FieldCode | None,
    shape: tuple[int, ...],
    affine: np.ndarray | None,
    workers: Workers = CPU,
) -> Conditioning:
    """Warp the template to a scan's grid.

    The workers share the lattice of the field, and the scan by regions (Fig. 4b of the paper).

    Args:
        model: shape model of the bundle.
        code: decoded field of the scan; None for the base map alone.
        shape: voxels of the scan along 2 or 3 axes.
        affine: (4, 4) voxel-to-world matrix in mm, or None.
        workers: their number divides the scan; all compute on the CPU.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    placement = base_map(shape, affine, model.template.shape, model.affine)

    lattice = None
    if code is not None:
        lattice = DisplacementLattice(model, placement, code)
        evaluate = lattice.evaluate
        list(workers.map(lambda _, rows: evaluate(rows), lattice.parts))

    def region(_: object, rows: slice) -> Conditioning:
        window = [rows, *[slice(None)] * (len(shape) - 1)]
        coordinates = coordinates_within(placement, lattice, window)
        places = np.empty((1, *coordinates.shape), np.int16)
        for place, axis, n in zip(places[0], coordinates, model.template.shape, strict=True):
            scaled = axis.astype(np.int64) * _PLACE_ONE // (n << COORDINATE_BITS)
            place[...] = (scaled - _PLACE_ONE // 2).clip(-_PLACE_ONE // 2, _PLACE_ONE // 2)
        return Conditioning(warp_template(model, coordinates)[None, None], places)

    count = min(len(workers.devices), max(1, math.prod(shape) // _REGION_VOXELS))
    height = -(-shape[0] // count)
    parts = workers.map(region, [slice(s, s + height) for s in range(0, shape[0], height)])
    templates, places = zip(*parts, strict=True)
    return Conditioning(np.concatenate(templates, 2), np.concatenate(places, 2))
