"""Prediction of a NIfTI header, element by element.

    shape, dtype, length of the tail ─▶ plain fields ─▶ pixdim ─▶ quatern, qoffset ─▶ srow

A header states its geometry twice, as a quaternion (qform) and as a matrix (sform). The quaternion
predicts the matrix to within the last bits of its floats. The predictor is a generator: it yields a
prediction and is sent the true values, so packing and unpacking share one sequence. Its arithmetic
is +, -, x, / and square root on float64, each rounded by IEEE 754, so every machine predicts the
same bits.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

_DATATYPES = {
    "u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768,
    "i8": 1024, "u8": 1280,
}  # fmt: skip
_FLOAT_FORMATS = {4: "f", 8: "d"}
_GEOMETRY = ("pixdim", "quatern", "qoffset", "srow")

Bits = list[int]
Prediction = tuple[str, int, Bits]
Predictor = Generator[Prediction, Bits, None]


@dataclass(frozen=True)
class Layout:
    """Layout of a header.

    Attributes:
        size: bytes of the header.
        fields: (name, bytes of an element, number of elements) in file order.
        magic: magic bytes of a header in the file of the voxels.
        magic_of_pair: magic bytes of a header in a file of its own.
    """

    size: int
    fields: tuple[tuple[str, int, int], ...]
    magic: bytes
    magic_of_pair: bytes

    def width(self, field: str) -> int:
        """Return the bytes of one element of a field."""
        return next(width for name, width, _ in self.fields if name == field)

    def coding_widths(self) -> list[int]:
        """Return the bytes of each element in coding order: plain fields, then the geometry."""
        fields = sorted(self.fields, key=lambda field: field[0] in _GEOMETRY)
        return [width for _, width, count in fields for _ in range(count)]

    def split(self, raw: bytes, big_endian: bool) -> dict[str, Bits]:
        """Split a header of ``size`` bytes into the bit patterns of each field's elements."""
        order = "big" if big_endian else "little"
        values: dict[str, Bits] = {}
        offset = 0
        for name, width, count in self.fields:
            end = offset + width * count
            starts = range(offset, end, width)
            values[name] = [int.from_bytes(raw[s : s + width], order) for s in starts]
            offset = end
        return values

    def join(self, values: dict[str, Bits], big_endian: bool) -> bytes:
        """Join bit patterns to a header, the inverse of `split`."""
        order = "big" if big_endian else "little"
        return b"".join(
            bits.to_bytes(width, order) for name, width, _ in self.fields for bits in values[name]
        )


NIFTI1 = Layout(
    size=348,
    fields=(
        ("sizeof_hdr", 4, 1), ("data_type", 1, 10), ("db_name", 1, 18), ("extents", 4, 1),
        ("session_error", 2, 1), ("regular", 1, 1), ("dim_info", 1, 1), ("dim", 2, 8),
        ("intent_p", 4, 3), ("intent_code", 2, 1), ("datatype", 2, 1), ("bitpix", 2, 1),
        ("slice_start", 2, 1), ("pixdim", 4, 8), ("vox_offset", 4, 1), ("scl_slope", 4, 1),
        ("scl_inter", 4, 1), ("slice_end", 2, 1), ("slice_code", 1, 1), ("xyzt_units", 1, 1),
        ("cal_max", 4, 1), ("cal_min", 4, 1), ("slice_duration", 4, 1), ("toffset", 4, 1),
        ("glmax", 4, 1), ("glmin", 4, 1), ("descrip", 1, 80), ("aux_file", 1, 24),
        ("qform_code", 2, 1), ("sform_code", 2, 1), ("quatern", 4, 3), ("qoffset", 4, 3),
        ("srow", 4, 12), ("intent_name", 1, 16), ("magic", 1, 4),
    ),
    magic=b"n+1\0",
    magic_of_pair=b"ni1\0",
)  # fmt: skip
NIFTI2 = Layout(
    size=540,
    fields=(
        ("sizeof_hdr", 4, 1), ("magic", 1, 8), ("datatype", 2, 1), ("bitpix", 2, 1),
        ("dim", 8, 8), ("intent_p", 8, 3), ("pixdim", 8, 8), ("vox_offset", 8, 1),
        ("scl_slope", 8, 1), ("scl_inter", 8, 1), ("cal_max", 8, 1), ("cal_min", 8, 1),
        ("slice_duration", 8, 1), ("toffset", 8, 1), ("slice_start", 8, 1), ("slice_end", 8, 1),
        ("descrip", 1, 80), ("aux_file", 1, 24), ("qform_code", 4, 1), ("sform_code", 4, 1),
        ("quatern", 8, 3), ("qoffset", 8, 3), ("srow", 8, 12), ("slice_code", 4, 1),
        ("xyzt_units", 4, 1), ("intent_code", 4, 1), ("intent_name", 1, 16), ("dim_info", 1, 1),
        ("unused_str", 1, 15),
    ),
    magic=b"n+2\0\r\n\x1a\n",
    magic_of_pair=b"ni2\0\r\n\x1a\n",
)  # fmt: skip
LAYOUTS = {"nifti1": NIFTI1, "nifti2": NIFTI2}


@dataclass(frozen=True)
class Style:
    """Values that one family of NIfTI writers puts into fields without geometry."""

    regular: bytes
    xyzt_units: int
    form_codes: tuple[int, int]
    later_pixdim: tuple[float, float, float, float]
    origin: float = 0.0
    descrip: bytes = b""
    aux_file: bytes = b""


_ONES = (1.0, 1.0, 1.0, 1.0)
_ZEROS = (0.0, 0.0, 0.0, 0.0)
_ONE_FRAME = (1.0, 0.0, 0.0, 0.0)
STYLES = (
    Style(b"\0", 0, (0, 2), _ONES),  # nibabel, as its images are born
    Style(b"\0", 2, (1, 1), _ONES),  # nibabel, with units and codes set
    Style(b"r", 10, (1, 1), _ZEROS),  # nifti_clib: ITK, SimpleITK, dcm2niix
    Style(b"r", 2, (1, 1), _ZEROS),  # nifti_clib without a time unit
    Style(b"r", 10, (1, 1), _ONE_FRAME, 0.0, b"5.0.10", b"none"),  # FSL 5
    # FSL 5 with the origin one voxel off, as in crops of the Medical Segmentation Decathlon.
    Style(b"r", 10, (1, 1), _ONE_FRAME, 1.0, b"5.0.10", b"none"),
)


def predictor(
    layout: Layout, style: Style, shape: Sequence[int], dtype: np.dtype, tail_bytes: int
) -> Predictor:
    """Predict a header part by part; the generator must be sent the true bits of each part.

    Args:
        layout: `NIFTI1` or `NIFTI2`.
        style: values expected of the writer.
        shape: shape of the stored voxels.
        dtype: stored type of the voxels.
        tail_bytes: bytes between the header and the voxels; 0 for a header in its own file.

    Yields:
        Field, index of the first element, and predicted bits of the elements.
    """
    constants = _constants(layout, style, shape, dtype, tail_bytes)
    known: dict[str, Bits] = {}
    for name, width, count in layout.fields:
        if name not in _GEOMETRY:
            predicted = constants.get(name, [])
            padded = [*predicted, *[0] * (count - len(predicted))]
            known[name] = yield name, 0, [bits % (1 << 8 * width) for bits in padded]
    yield from _geometry(layout.width("srow"), style, has_matrix=known["sform_code"] != [0])


def _constants(
    layout: Layout, style: Style, shape: Sequence[int], dtype: np.dtype, tail_bytes: int
) -> dict[str, Bits]:
    """Return the predicted bits of every field that is predicted without other fields."""
    real = layout.width("scl_slope")
    data_offset = layout.size + tail_bytes if tail_bytes else 0
    return {
        "sizeof_hdr": [layout.size],
        "regular": list(style.regular),
        "dim": [len(shape), *shape, *[1] * (7 - len(shape))],
        "datatype": [_DATATYPES.get(dtype.str[1:], 0)],
        "bitpix": [8 * dtype.itemsize],
        "vox_offset": _to_bits([data_offset], real) if layout is NIFTI1 else [data_offset],
        "scl_slope": _to_bits([1.0], real),
        "xyzt_units": [style.xyzt_units],
        "descrip": list(style.descrip),
        "aux_file": list(style.aux_file),
        "qform_code": [style.form_codes[0]],
        "sform_code": [style.form_codes[1]],
        "magic": list(layout.magic if tail_bytes else layout.magic_of_pair),
    }


def _geometry(width: int, style: Style, has_matrix: bool) -> Predictor:
    first = yield "pixdim", 0, _to_bits([1.0, 1.0], width)
    others = yield "pixdim", 2, [first[1], first[1]]
    yield "pixdim", 4, _to_bits(style.later_pixdim, width)
    quaternion = yield "quatern", 0, [0] * 3
    offset = yield "qoffset", 0, _to_bits([style.origin] * 3, width)
    if not has_matrix:
        yield "srow", 0, [0] * 12
        return
    qfac, *spacing = _from_bits([*first, *others], width)
    matrix = _rotation(_from_bits(quaternion, width))
    scales = (spacing[0], spacing[1], spacing[2] * (-1.0 if qfac < 0 else 1.0))
    rows = [_to_bits([r * s for r, s in zip(row, scales, strict=True)], width) for row in matrix]
    yield "srow", 0, [bits for row, last in zip(rows, offset, strict=True) for bits in [*row, last]]


def _rotation(quaternion: list[float]) -> list[list[float]]:
    """Return the rotation matrix of a unit quaternion, given its last three components."""
    b, c, d = quaternion
    rest = 1.0 - (b * b + c * c + d * d)
    if rest < 1e-7:
        length = math.sqrt(b * b + c * c + d * d)
        b, c, d = (b / length, c / length, d / length) if length < math.inf else (0.0, 0.0, 0.0)
        rest = 0.0
    a = math.sqrt(rest) if rest < math.inf else 0.0
    return [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ]


def _from_bits(bits: Bits, width: int) -> list[float]:
    data = b"".join(b.to_bytes(width, "little") for b in bits)
    return list(struct.unpack(f"<{len(bits)}{_FLOAT_FORMATS[width]}", data))


def _to_bits(values: Sequence[float], width: int) -> Bits:
    """Return the bits of floats; NaN and values beyond the type's range count as zero."""
    limit = float(np.finfo(f"f{width}").max)
    safe = [value + 0.0 if abs(value) <= limit else 0.0 for value in values]
    data = struct.pack(f"<{len(safe)}{_FLOAT_FORMATS[width]}", *safe)
    return [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]
