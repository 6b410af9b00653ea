"""Backward deformation field in integers: equal on every machine, device and thread count.

    voxel x ─ base map ─▶ p (1/256 voxel) ─▶ q (2**-14) ─▶ W₁ ─▶ sine table ─▶ W₂ ─▶ sine table
      ─▶ head ─▶ displacement on a coarse lattice (1/4096 voxel) ─▶ exact linear interpolation
      ─▶ p + displacement = template coordinates (1/256 voxel) ─ warp_template ─▶ grey values

Matrix products run in float64 on integers. Their sums stay below 2**53, so any order is exact.
Everything else is integer. Slabs bound the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from deepstd.errors import GeometryError
from deepstd.geometry import COORDINATE_BITS, BaseMap
from deepstd.shape.model import HEAD_BITS, Q_BITS, WEIGHT_BITS, FieldCode, ShapeModel
from deepstd.shape.siren import BACKWARD

_SINE_BITS = 14  # fraction bits of sines
_TURN_BITS = 14  # a full turn is 2**14 angle steps
_PER_RADIAN_BITS = 20  # fraction bits of turns per radian
_PER_RADIAN = 166_886  # round(2**20 / 2π)
_PI = 57_952_155_664_616_982_739  # round(π · 2**64)
_LATTICE_BITS = 4  # fraction bits of lattice displacements beyond 1/256 voxel
_FARTHEST = 1 << 19  # 128 template voxels in 1/4096
_FINEST_NODES = 64  # lattice nodes that an axis keeps where it is long enough
_COARSEST_STRIDE = 8  # voxels between lattice nodes
_SLAB_VOXELS = 1 << 19
_GATHER_VOXELS = 1 << 16
_FRACTION = (1 << COORDINATE_BITS) - 1


def template_coordinates(
    model: ShapeModel,
    base_map: BaseMap,
    code: FieldCode | None,
    window: Sequence[slice] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the template coordinates of a scan's voxels.

    Args:
        model: shape model of the bundle.
        base_map: affine map from scan voxels to template voxels, from the headers.
        code: decoded field of the scan; None for the base map alone.
        window: region of the scan, one slice without step per axis; None for the whole scan.
        device: device of the computation and of the result.

    Returns:
        int32 (ndim, *window shape) in 1/256 template voxels. A voxel's coordinates do not depend on
        the window.

    Raises:
        GeometryError: the base map belongs to a template of another shape.
    """
    if base_map.template_shape != model.template.shape:
        raise GeometryError(
            f"the base map leads to a template of shape {base_map.template_shape}: expected "
            f"{model.template.shape}"
        )
    bounds = [
        s.indices(n)[:2]
        for s, n in zip(window or [slice(None)] * base_map.ndim, base_map.shape, strict=True)
    ]
    size = [stop - start for start, stop in bounds]
    result = torch.empty((base_map.ndim, *size), dtype=torch.int32, device=device)
    lattice = None if code is None else _Lattice(model, base_map, code, device)
    rows = max(1, _SLAB_VOXELS // max(1, _product(size[1:])))
    first, last = bounds[0]
    for start in range(first, last, rows):
        slab = [(start, min(start + rows, last)), *bounds[1:]]
        indices = [torch.arange(a, b, device=device) for a, b in slab]
        coordinates = base_map.coordinates(indices)
        if lattice is not None:
            coordinates += lattice.displacement(slab)
        result[:, start - first : start - first + rows] = coordinates.to(torch.int32)
    return result


def warp_template(model: ShapeModel, coordinates: Tensor) -> Tensor:
    """Interpolate the template (bi/tri)linearly at template coordinates; extend its border.

    Args:
        model: shape model of the bundle.
        coordinates: int32 (ndim, *shape) in 1/256 template voxels.

    Returns:
        int32 (*shape), grey values, 0 to 1023.
    """
    template = torch.from_numpy(np.pad(model.template.astype(np.int32), (0, 1), mode="edge"))
    template = template.contiguous().to(coordinates.device)
    flat = coordinates.reshape(model.ndim, -1)
    result = torch.empty_like(flat[0])
    for start in range(0, flat.shape[1], _GATHER_VOXELS):
        part = slice(start, start + _GATHER_VOXELS)
        result[part] = _interpolate(template, flat[:, part])
    return result.reshape(coordinates.shape[1:])


def inside_template(model: ShapeModel, coordinates: Tensor) -> Tensor:
    """Return True where the template covers a voxel, to half a voxel beyond its outermost centres.

    Args:
        model: shape model of the bundle.
        coordinates: int32 (ndim, *shape) in 1/256 template voxels.

    Returns:
        bool (*shape).
    """
    half = 1 << (COORDINATE_BITS - 1)
    inside = torch.ones(coordinates.shape[1:], dtype=torch.bool, device=coordinates.device)
    for axis, n in zip(coordinates, model.template.shape, strict=True):
        inside &= (axis >= -half) & (axis < (n << COORDINATE_BITS) - half)
    return inside


def lattice_stride(length: int) -> int:
    """Return the voxels between lattice nodes along an axis of a length: 1, 2, 4 or 8.

    Axes of 64 voxels or more keep at least 64 intervals.
    """
    stride = 1
    while stride < _COARSEST_STRIDE and length >= 2 * stride * _FINEST_NODES:
        stride *= 2
    return stride


class _Lattice:
    """Displacement field of a scan, evaluated on a coarse lattice and interpolated exactly."""

    def __init__(
        self, model: ShapeModel, base_map: BaseMap, code: FieldCode, device: torch.device | str
    ) -> None:
        self.strides = [lattice_stride(n) for n in base_map.shape]
        nodes = [
            torch.arange(0, n + s, s, device=device)
            for n, s in zip(base_map.shape, self.strides, strict=True)
        ]
        evaluate = _Evaluator(model, code, device)
        rows = max(1, _GATHER_VOXELS // _product([len(a) for a in nodes[1:]]))
        self.nodes = torch.cat(
            [evaluate(base_map.coordinates([part, *nodes[1:]])) for part in nodes[0].split(rows)],
            dim=1,
        )

    def displacement(self, bounds: Sequence[tuple[int, int]]) -> Tensor:
        """Interpolate the displacement of the voxels within bounds.

        Args:
            bounds: first voxel, and the voxel after the last, along each axis.

        Returns:
            int32 (ndim, *lengths) in 1/256 template voxels.
        """
        values = self.nodes
        bits = _LATTICE_BITS
        for axis, ((start, stop), stride) in enumerate(zip(bounds, self.strides, strict=True), 1):
            index = torch.arange(start, stop, device=values.device)
            if stride == 1:
                values = values.index_select(axis, index)
                continue
            low = index // stride
            shape = [1] * values.ndim
            shape[axis] = -1
            part = (index - low * stride).to(torch.int32).reshape(shape)
            first, second = values.index_select(axis, low), values.index_select(axis, low + 1)
            values = first * (stride - part) + second * part
            bits += stride.bit_length() - 1
        return (values + (1 << (bits - 1))) >> bits


class _Evaluator:
    """Integer network of a scan's backward field."""

    def __init__(self, model: ShapeModel, code: FieldCode, device: torch.device | str) -> None:
        def exact(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=torch.int64, device=device)

        self.reach = exact(model.reach)
        self.limit = exact(model.limit)
        self.centre = exact([(n - 1) << (COORDINATE_BITS - 1) for n in model.template.shape])
        self.weight1 = exact(model.weight1[BACKWARD]).double()
        self.bias1 = exact(model.bias1[BACKWARD]) << Q_BITS
        self.weight2 = exact(model.weight2[BACKWARD]).double()
        self.bias2 = exact(model.bias2[BACKWARD]) << _SINE_BITS
        head = exact(model.head(code))
        self.head, self.bias = head[:-1].double(), head[-1:] << _SINE_BITS
        self.omega = model.omegas[code.omega_index]
        self.sine = _sine_table().to(device)

    def __call__(self, coordinates: Tensor) -> Tensor:
        """Evaluate the displacement at template coordinates.

        Args:
            coordinates: int64 (ndim, *shape) in 1/256 template voxels.

        Returns:
            int32 (ndim, *shape) in 1/4096 template voxels.
        """
        ndim, *shape = coordinates.shape
        p = coordinates.reshape(ndim, -1).T - self.centre
        q = torch.div((p << (Q_BITS + 1)) + self.reach, 2 * self.reach, rounding_mode="floor")
        q = torch.maximum(torch.minimum(q, self.limit), -self.limit)
        h1 = self._sin(_product_of(q, self.weight1) + self.bias1, Q_BITS)
        h2 = self._sin(_product_of(h1, self.weight2) + self.bias2, _SINE_BITS)
        u = _product_of(h2, self.head) + self.bias
        shift = _SINE_BITS + HEAD_BITS - _LATTICE_BITS
        moved = (u * self.reach + (1 << (shift - 1))) >> shift
        return moved.clamp(-_FARTHEST, _FARTHEST).to(torch.int32).T.reshape(ndim, *shape)

    def _sin(self, z: Tensor, input_bits: int) -> Tensor:
        """Return sin(Ω z) in units of 2**-14, for z in units of 2**-(input_bits + 14)."""
        shift = input_bits + WEIGHT_BITS + _PER_RADIAN_BITS - _TURN_BITS
        turn = (z * (self.omega * _PER_RADIAN) + (1 << (shift - 1))) >> shift
        return self.sine[turn & ((1 << _TURN_BITS) - 1)].to(torch.int64)


def _product_of(integers: Tensor, weights: Tensor) -> Tensor:
    """Multiply integer matrices in float64; sums below 2**53 are exact."""
    return (integers.double() @ weights).to(torch.int64)


def _interpolate(template: Tensor, coordinates: Tensor) -> Tensor:
    """Interpolate (bi/tri)linearly at (ndim, N) coordinates in 1/256 voxels.

    The template's last voxel along each axis is repeated once, so that every base has a neighbour.
    """
    base = torch.zeros_like(coordinates[0])
    parts, offsets = [], [0]
    for axis, n, stride in zip(coordinates, template.shape, template.stride(), strict=True):
        inside = axis.clamp(0, (n - 2) << COORDINATE_BITS)
        base += (inside >> COORDINATE_BITS) * stride
        parts.append(inside & _FRACTION)
        offsets = [o + end for o in offsets for end in (0, stride)]
    flat = template.reshape(-1)
    values = [flat[offset:].index_select(0, base) for offset in offsets]
    bits = 0
    for part in reversed(parts):
        values = [
            (a << COORDINATE_BITS) + (b - a) * part
            for a, b in zip(values[::2], values[1::2], strict=True)
        ]
        bits += COORDINATE_BITS
        if bits == 2 * COORDINATE_BITS and len(values) > 1:
            values = [(v + (1 << (COORDINATE_BITS - 1))) >> COORDINATE_BITS for v in values]
            bits = COORDINATE_BITS
    return (values[0] + (1 << (bits - 1))) >> bits


@cache
def _sine_table() -> Tensor:
    """Return a turn of the sine, 2**14 steps in units of 2**-14, by its Taylor series."""
    one, count = 1 << 64, 1 << _TURN_BITS
    quarter = []
    for step in range(count // 4 + 1):
        x = 2 * _PI * step // count
        term, total, n = x, 0, 1
        while term:
            total += term
            term = -(term * x // one * x // one) // ((n + 1) * (n + 2))
            n += 2
            if term == -1:
                break
        quarter.append((total + (1 << (63 - _SINE_BITS))) >> (64 - _SINE_BITS))
    half = quarter + quarter[-2:0:-1]
    return torch.tensor(half + [-v for v in half], dtype=torch.int16)


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
