"""Affine map from a scan's voxels to a template's.

    header affines, shapes ─▶ base_map: exact rational arithmetic ─▶ BaseMap, fixed point integers

The base map takes directions and spacing from both headers and aligns the centres of both fields of
view. It ignores the origins, as the origin of a crop says nothing about anatomy. The paper pads a
scan to the template's size instead (Methods, "Cycle-INR based shape registration").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from deepstd.errors import GeometryError

FRACTION_BITS = 24
"""Fraction bits of a base map: units of 2**-24 template voxels."""

COORDINATE_BITS = 8
"""Fraction bits of template coordinates: units of 1/256 template voxel."""

_FARTHEST_VOXEL = 1 << 21  # template voxels; larger coordinates mean unequal units
_Matrix = list[list[Fraction]]


@dataclass(frozen=True, eq=False)
class BaseMap:
    """Affine map from scan voxel indices to template voxel coordinates.

    Attributes:
        matrix: (ndim, ndim) int64, in 2**-24 template voxels.
        offset: (ndim,) int64, in 2**-24 template voxels.
        shape: voxels of the scan along each axis.
        template_shape: voxels of the template along each axis.
    """

    matrix: np.ndarray
    offset: np.ndarray
    shape: tuple[int, ...]
    template_shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    def coordinates(self, indices: Sequence[np.ndarray]) -> np.ndarray:
        """Return the template coordinates of a grid of scan voxels.

        Args:
            indices: int64 voxel indices along each axis.

        Returns:
            int64 (ndim, *lengths) in 1/256 template voxels, rounded to the nearest.
        """
        shift = FRACTION_BITS - COORDINATE_BITS
        result = np.empty((self.ndim, *map(len, indices)), np.int64)
        for rows, factors, offset in zip(result, self.matrix, self.offset, strict=True):
            rows[...] = offset + (1 << (shift - 1))
            for axis, (factor, index) in enumerate(zip(factors, indices, strict=True)):
                if factor:
                    rows += (factor * index).reshape(-1, *[1] * (self.ndim - 1 - axis))
            rows >>= shift
        return result

    def as_float(self) -> tuple[np.ndarray, np.ndarray]:
        """Return matrix and offset in template voxels, float64."""
        scale = float(1 << FRACTION_BITS)
        return self.matrix / scale, self.offset / scale


def base_map(
    shape: Sequence[int],
    affine: np.ndarray | None,
    template_shape: Sequence[int],
    template_affine: np.ndarray | None,
) -> BaseMap:
    """Return the map from scan to template voxels by both headers, with the centres aligned.

    Without both affines the map scales the extent of the scan to the extent of the template. The
    arithmetic is rational, so every machine finds the same integers.

    Args:
        shape: voxels of the scan along 2 or 3 axes.
        affine: (4, 4) voxel-to-world matrix of the scan in mm, or None.
        template_shape: voxels of the template along the same number of axes.
        template_affine: (4, 4) voxel-to-world matrix of the template in mm, or None.

    Raises:
        GeometryError: the numbers of axes differ; an affine is singular or not finite; a 2-D scan
            is perpendicular to the template; or a voxel lies 2**21 template voxels away.
    """
    ndim = len(shape)
    if len(template_shape) != ndim or ndim not in (2, 3):
        raise GeometryError(
            f"a scan of shape {tuple(shape)} cannot be laid on a template of shape "
            f"{tuple(template_shape)}: expected as many axes, 2 or 3. Use a bundle for {ndim}-D."
        )
    if affine is None or template_affine is None:
        matrix = [
            [Fraction(int(t), int(n)) if i == j else Fraction(0) for j in range(ndim)]
            for i, (n, t) in enumerate(zip(shape, template_shape, strict=True))
        ]
    else:
        matrix = _relative(
            _columns(affine, ndim, "scan"), _columns(template_affine, ndim, "template")
        )
    offset = [
        Fraction(int(t) - 1, 2)
        - sum((a * Fraction(int(n) - 1, 2) for a, n in zip(row, shape, strict=True)), Fraction(0))
        for row, t in zip(matrix, template_shape, strict=True)
    ]
    farthest = max(
        abs(o) + sum((abs(a) * int(n) for a, n in zip(row, shape, strict=True)), Fraction(0))
        for row, o in zip(matrix, offset, strict=True)
    )
    if farthest > _FARTHEST_VOXEL:
        raise GeometryError(
            f"a voxel of the scan lies {float(farthest):.3g} template voxels away from the "
            "template: expected the two voxel sizes to be of one unit, millimetres. "
            "Check the header's spacing."
        )
    one = 1 << FRACTION_BITS
    return BaseMap(
        np.array([[_rounded(a * one) for a in row] for row in matrix], dtype=np.int64),
        np.array([_rounded(o * one) for o in offset], dtype=np.int64),
        tuple(int(n) for n in shape),
        tuple(int(n) for n in template_shape),
    )


def _columns(affine: np.ndarray, ndim: int, whose: str) -> _Matrix:
    """Return the (3, ndim) direction columns of an affine as exact fractions."""
    block = np.asarray(affine, dtype=np.float64)
    if block.shape != (4, 4) or not np.isfinite(block).all():
        raise GeometryError(f"the affine of the {whose} must be a finite 4x4 matrix")
    columns = [[Fraction(float(block[i, j])) for j in range(ndim)] for i in range(3)]
    if _determinant(_gram(columns, columns)) == 0:
        raise GeometryError(
            f"the affine of the {whose} is singular: expected {ndim} independent axes. "
            "Repair the header, or drop its geometry."
        )
    return columns


def _relative(scan: _Matrix, template: _Matrix) -> _Matrix:
    """Return template voxels per scan voxel: the template's left inverse times the scan."""
    gram = _gram(template, template)
    inverse, determinant = _adjugate(gram), _determinant(gram)
    mixed = _gram(template, scan)
    matrix = [
        [
            sum((a * mixed[k][j] for k, a in enumerate(row)), Fraction(0)) / determinant
            for j in range(len(row))
        ]
        for row in inverse
    ]
    if _determinant(matrix) == 0:
        raise GeometryError(
            "the plane of the image is at right angles to the template's: expected the same "
            "view. Use another bundle."
        )
    return matrix


def _gram(left: _Matrix, right: _Matrix) -> _Matrix:
    ndim = len(left[0])
    return [
        [sum((left[k][i] * right[k][j] for k in range(3)), Fraction(0)) for j in range(ndim)]
        for i in range(ndim)
    ]


def _minor(m: _Matrix, i: int, j: int) -> Fraction:
    rest = [[v for b, v in enumerate(row) if b != j] for a, row in enumerate(m) if a != i]
    return rest[0][0] if len(rest) == 1 else rest[0][0] * rest[1][1] - rest[0][1] * rest[1][0]


def _adjugate(m: _Matrix) -> _Matrix:
    n = len(m)
    return [[(-1) ** (i + j) * _minor(m, j, i) for j in range(n)] for i in range(n)]


def _determinant(m: _Matrix) -> Fraction:
    return sum(((-1) ** j * m[0][j] * _minor(m, 0, j) for j in range(len(m))), Fraction(0))


def _rounded(value: Fraction) -> int:
    """Round to the nearest integer, halves upwards."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
