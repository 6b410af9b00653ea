"""Backward deformation field in integers: equal on every machine and thread count.

    voxel x ─ base map ─▶ p (1/256 voxel) ─▶ q (2**-14) ─▶ W₁ ─▶ sine table ─▶ W₂ ─▶ sine table
      ─▶ head ─▶ displacement on a coarse lattice (1/4096 voxel) ─▶ exact linear interpolation
      ─▶ p + displacement = template coordinates (1/256 voxel) ─ warp_template ─▶ grey values

Matrix products run in float64 on integers. Their sums stay below 2**53, so any order is exact.
Everything else is integer. Slabs bound the memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from deepstd.errors import GeometryError
from deepstd.geometry import COORDINATE_BITS, BaseMap
from deepstd.shape.model import HEAD_BITS, Q_BITS, WEIGHT_BITS, FieldCode, ShapeModel
from deepstd.shape.products import product
from deepstd.shape.siren import BACKWARD

_SINE_BITS = 14  # fraction bits of sines
_TURN_BITS = 14  # a full turn is 2**14 angle steps
_PER_RADIAN_BITS = 20  # fraction bits of turns per radian
_PER_RADIAN = 166_886  # round(2**20 / 2π)
_LATTICE_BITS = 4  # fraction bits of lattice displacements beyond 1/256 voxel
_FARTHEST = 1 << 19  # 128 template voxels in 1/4096
_FINEST_NODES = 64  # lattice nodes that an axis keeps where it is long enough
_COARSEST_STRIDE = 8  # voxels between lattice nodes
_SLAB_VOXELS = 1 << 19
_GATHER_VOXELS = 1 << 14  # voxels interpolated at once, in the cache
_NODES_AT_ONCE = 1 << 11  # nodes evaluated at once, in the cache
_FRACTION = (1 << COORDINATE_BITS) - 1


def template_coordinates(
    model: ShapeModel,
    base_map: BaseMap,
    code: FieldCode | None,
    window: Sequence[slice] | None = None,
) -> np.ndarray:
    """Return the template coordinates of a scan's voxels.

    Args:
        model: shape model of the bundle.
        base_map: affine map from scan voxels to template voxels, from the headers.
        code: decoded field of the scan; None for the base map alone.
        window: region of the scan, one slice without step per axis; None for the whole scan.

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
    if code is None:
        return coordinates_within(base_map, None, window)
    lattice = DisplacementLattice(model, base_map, code)
    for rows in lattice.parts:
        lattice.evaluate(rows)
    return coordinates_within(base_map, lattice, window)


def coordinates_within(
    base_map: BaseMap, lattice: DisplacementLattice | None, window: Sequence[slice] | None
) -> np.ndarray:
    """Return the template coordinates of a scan's voxels by an evaluated lattice.

    Args:
        base_map: affine map from scan voxels to template voxels.
        lattice: displacement field, all parts evaluated; None for the base map alone.
        window: region of the scan, one slice without step per axis; None for the whole scan.

    Returns:
        int32 (ndim, *window shape) in 1/256 template voxels.
    """
    bounds = [
        s.indices(n)[:2]
        for s, n in zip(window or [slice(None)] * base_map.ndim, base_map.shape, strict=True)
    ]
    size = [stop - start for start, stop in bounds]
    result = np.empty((base_map.ndim, *size), np.int32)
    rows = max(1, _SLAB_VOXELS // max(1, math.prod(size[1:])))
    first, last = bounds[0]
    for start in range(first, last, rows):
        slab = [(start, min(start + rows, last)), *bounds[1:]]
        coordinates = base_map.coordinates([np.arange(a, b) for a, b in slab])
        if lattice is not None:
            coordinates += lattice.displacement(slab)
        result[:, start - first : start - first + rows] = coordinates
    return result


def warp_template(model: ShapeModel, coordinates: np.ndarray) -> np.ndarray:
    """Interpolate the template (bi/tri)linearly at template coordinates; extend its border.

    Args:
        model: shape model of the bundle.
        coordinates: int32 (ndim, *shape) in 1/256 template voxels.

    Returns:
        int32 (*shape), grey values, 0 to 1023.
    """
    template = np.pad(model.template.astype(np.int32), (0, 1), mode="edge")
    flat = coordinates.reshape(model.ndim, -1)
    result = np.empty_like(flat[0])
    for start in range(0, flat.shape[1], _GATHER_VOXELS):
        part = slice(start, start + _GATHER_VOXELS)
        result[part] = _interpolate(template, flat[:, part])
    return result.reshape(coordinates.shape[1:])


def inside_template(model: ShapeModel, coordinates: np.ndarray) -> np.ndarray:
    """Return True where the template covers a voxel, to half a voxel beyond its outermost centres.

    Args:
        model: shape model of the bundle.
        coordinates: int32 (ndim, *shape) in 1/256 template voxels.

    Returns:
        bool (*shape).
    """
    half = 1 << (COORDINATE_BITS - 1)
    inside = np.ones(coordinates.shape[1:], bool)
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


class DisplacementLattice:
    """Displacement field of a scan, evaluated on a coarse lattice and interpolated exactly.

    Args:
        model: shape model of the bundle.
        base_map: affine map from scan voxels to template voxels.
        code: decoded field of the scan.

    Attributes:
        parts: rows of the lattice, each to be evaluated once, in any order and on any thread.
        nodes: int32 (ndim, *lattice), displacement of evaluated nodes in 1/4096 template voxels.
    """

    def __init__(self, model: ShapeModel, base_map: BaseMap, code: FieldCode) -> None:
        self.strides = [lattice_stride(n) for n in base_map.shape]
        self._axes = [
            np.arange(0, n + s, s) for n, s in zip(base_map.shape, self.strides, strict=True)
        ]
        self._base_map, self._evaluator = base_map, _Evaluator(model, code)
        self.nodes = np.empty((base_map.ndim, *map(len, self._axes)), np.int32)
        rows = max(1, _NODES_AT_ONCE // math.prod(map(len, self._axes[1:])))
        self.parts = [slice(s, s + rows) for s in range(0, len(self._axes[0]), rows)]

    def evaluate(self, rows: slice) -> None:
        """Evaluate the nodes of some rows."""
        coordinates = self._base_map.coordinates([self._axes[0][rows], *self._axes[1:]])
        self.nodes[:, rows] = self._evaluator(coordinates)

    def displacement(self, bounds: Sequence[tuple[int, int]]) -> np.ndarray:
        """Interpolate the displacement of the voxels within bounds.

        Args:
            bounds: first voxel, and the voxel after the last, along each axis.

        Returns:
            int32 (ndim, *lengths) in 1/256 template voxels.
        """
        values = self.nodes
        bits = _LATTICE_BITS
        for axis, ((start, stop), stride) in enumerate(zip(bounds, self.strides, strict=True), 1):
            before = (slice(None),) * axis
            if stride == 1:
                values = values[*before, start:stop]
                continue
            index = np.arange(start, stop)
            low = index // stride
            part = (index - low * stride).astype(np.int32)
            part = part.reshape(-1, *[1] * (values.ndim - 1 - axis))
            second = values.take(low + 1, axis)
            second *= part
            values = values.take(low, axis)
            values *= stride - part
            values += second
            bits += stride.bit_length() - 1
        return (values + (1 << (bits - 1))) >> bits


class _Evaluator:
    """Integer network of a scan's backward field."""

    def __init__(self, model: ShapeModel, code: FieldCode) -> None:
        head = model.head(code)
        self.head, self.bias = head[:-1].astype(np.float64), head[-1:] << _SINE_BITS
        self.reach = model.reach.tolist()
        self.limit = model.limit.tolist()
        self.centre = [(n - 1) << (COORDINATE_BITS - 1) for n in model.template.shape]
        self.omega = model.omegas[code.omega_index]
        self.weight1 = model.weight1[BACKWARD].astype(np.float64)
        self.bias1 = model.bias1[BACKWARD].astype(np.int64) << Q_BITS
        self.weight2 = model.weight2[BACKWARD].astype(np.float64)
        self.bias2 = model.bias2[BACKWARD].astype(np.int64) << _SINE_BITS

    def __call__(self, coordinates: np.ndarray) -> np.ndarray:
        """Evaluate the displacement at template coordinates.

        Args:
            coordinates: int64 (ndim, *shape) in 1/256 template voxels.

        Returns:
            int32 (ndim, *shape) in 1/4096 template voxels.
        """
        flat = coordinates.reshape(len(coordinates), -1)
        q = np.empty(flat.shape[::-1])
        for column, p, reach, limit, centre in zip(
            q.T, flat, self.reach, self.limit, self.centre, strict=True
        ):
            scaled = (((p - centre) << (Q_BITS + 1)) + reach) // (2 * reach)
            column[:] = scaled.clip(-limit, limit)
        h1 = self._sin(product(q, self.weight1), self.bias1, Q_BITS)
        h2 = self._sin(product(h1, self.weight2), self.bias2, _SINE_BITS)
        u = product(h2, self.head).astype(np.int64) + self.bias
        shift = _SINE_BITS + HEAD_BITS - _LATTICE_BITS
        moved = (u * self.reach + (1 << (shift - 1))) >> shift
        return moved.clip(-_FARTHEST, _FARTHEST).T.reshape(coordinates.shape)

    def _sin(self, products: np.ndarray, bias: np.ndarray, input_bits: int) -> np.ndarray:
        """Return sin(Ω z) in units of 2**-14, float64, for z in units of 2**-(input_bits + 14).

        z is the sum of products, which are whole numbers below 2**53, and bias.
        """
        shift = input_bits + WEIGHT_BITS + _PER_RADIAN_BITS - _TURN_BITS
        factor = self.omega * _PER_RADIAN
        turn = products.astype(np.int64)
        turn *= factor
        turn += bias * factor + (1 << (shift - 1))
        turn >>= shift
        turn &= (1 << _TURN_BITS) - 1
        return _sine_table().take(turn)


def _interpolate(template: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Interpolate (bi/tri)linearly at (ndim, N) coordinates in 1/256 voxels.

    The template's last voxel along each axis is repeated once, so that every base has a neighbour.
    """
    base = np.zeros(coordinates.shape[1], np.intp)
    parts, offsets = [], [0]
    for number, (axis, n) in enumerate(zip(coordinates, template.shape, strict=True), 1):
        stride = math.prod(template.shape[number:])
        inside = axis.clip(0, (n - 2) << COORDINATE_BITS)
        base += (inside >> COORDINATE_BITS) * stride
        parts.append(inside & _FRACTION)
        offsets = [o + end for o in offsets for end in (0, stride)]
    flat = template.reshape(-1)
    values = [flat[offset:].take(base) for offset in offsets]
    bits = 0
    for part in reversed(parts):
        for first, second in zip(values[::2], values[1::2], strict=True):
            second -= first
            second *= part
            first <<= COORDINATE_BITS
            first += second
        values = values[::2]
        bits += COORDINATE_BITS
        if bits == 2 * COORDINATE_BITS and len(values) > 1:
            for value in values:
                value += 1 << (COORDINATE_BITS - 1)
                value >>= COORDINATE_BITS
            bits = COORDINATE_BITS
    return (values[0] + (1 << (bits - 1))) >> bits


@cache
def _sine_table() -> np.ndarray:
    """Return a turn of the sine, float64, 2**14 whole numbers in units of 2**-14."""
    angles = np.arange(1 << _TURN_BITS) * (2 * math.pi / (1 << _TURN_BITS))
    # No sine lies within 2e-4 of the middle of two whole numbers: every machine rounds alike.
    return np.rint(np.sin(angles) * (1 << _SINE_BITS))
