"""Layout of a NIfTI-1 or NIfTI-2 file, from its header.

raw header ─ nibabel, checked ─▶ Layout: type, shape, offset

nibabel interprets the fields. Type, shape and offset are checked here before memory is allocated.
Repairs are those of the standard's own library (nifti1_io.c).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.others import ANALYZE_ADVICE, by_nibabel

if TYPE_CHECKING:
    from typing import Any

    from nibabel.nifti1 import Nifti1Header

NAMES = ("nifti1", "nifti2")
HEADER_BYTES = {"nifti1": 348, "nifti2": 540}
FIRST_OFFSET = {"nifti1": 352, "nifti2": 544}
MAGIC = {"nifti1": slice(344, 348), "nifti2": slice(4, 8)}
SINGLE_FILE = {"nifti1": b"n+1\0", "nifti2": b"n+2\0"}
PAIR = {"nifti1": b"ni1\0", "nifti2": b"ni2\0"}
_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_PARTS = "Save its real and imaginary parts as scans of their own: " + by_nibabel(
    "numpy.asarray(scan.dataobj).real"
)
_CHANNELS = "Save each channel as a scan of its own: " + by_nibabel(
    "numpy.asarray(scan.dataobj)['R']"
)
_OTHER_TYPES = {
    1: ("1-bit", "Save one byte per voxel"),
    32: ("complex64", _PARTS),
    128: ("RGB", _CHANNELS),
    1536: ("float128", "Save them as float64 where that is precise enough"),
    1792: ("complex128", _PARTS),
    2048: ("complex256", _PARTS),
    2304: ("RGBA", _CHANNELS),
}


@dataclass(frozen=True)
class Layout:
    """Location and type of the voxels, as a header declares them.

    Attributes:
        header: nibabel's header.
        dtype: stored type with its byte order.
        shape: shape of the stored array; an empty axis has length one.
        offset: byte of the file at which the voxels begin.
        has_empty_axes: whether the header declares an axis of length zero.
    """

    header: Nifti1Header
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    has_empty_axes: bool

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape without the axes of length one after the fourth."""
        shape = self.shape
        while len(shape) > 4 and shape[-1] == 1:
            shape = shape[:-1]
        return shape

    @property
    def nbytes(self) -> int:
        """Size of all voxels in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def kind_of(head: bytes) -> str | None:
    """Return "nifti1" or "nifti2" for the first bytes of a file, else None.

    Analyze headers count as NIfTI-1.
    """
    size = head[:4]
    for kind, count in HEADER_BYTES.items():
        if size in (count.to_bytes(4, "little"), count.to_bytes(4, "big")):
            return kind if len(head) >= HEADER_BYTES["nifti1"] else None
    return None


def header_of(raw: bytes, kind: str) -> Nifti1Header:
    """Return nibabel's header for raw bytes, unrepaired.

    Raises:
        InputError: the header is cut short or of another kind.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    size = HEADER_BYTES[kind]
    if len(raw) < size or kind_of(raw) != kind:
        raise InputError(f"not a whole {kind} header: it has {len(raw)} of {size} bytes")
    order = "<" if raw[:4] == size.to_bytes(4, "little") else ">"
    header_class = Nifti1Header if kind == "nifti1" else Nifti2Header
    return header_class(raw[:size], endianness=order, check=False)


def layout_of(raw: bytes, kind: str) -> Layout:
    """Parse and check the raw header of a single-file scan.

    Raises:
        UnsupportedFormatError: an Analyze file, or voxels or axes that are not supported.
        InputError: the header is damaged.
    """
    header = header_of(raw, kind)
    magic = raw[MAGIC[kind]]
    if magic != SINGLE_FILE[kind]:
        if not any(magic):
            raise UnsupportedFormatError(f"an Analyze 7.5 (SPM) scan. {ANALYZE_ADVICE}")
        raise UnsupportedFormatError(
            f"an Analyze 7.5 header, or a damaged NIfTI one: its signature is {magic!r}, expected "
            f"{SINGLE_FILE[kind]!r}. {ANALYZE_ADVICE}"
        )
    shape, has_empty_axes = _shape(header)
    return Layout(header, _dtype(header), shape, _offset(header, kind), has_empty_axes)


def _dtype(header: Nifti1Header) -> np.dtype:
    code = int(header["datatype"])
    if code not in _DTYPES:
        name, advice = _OTHER_TYPES.get(code, (f"number {code}", "Save it as one of them"))
        raise UnsupportedFormatError(
            f"voxels of type {name} are not supported: expected integers or floats of at most 64 "
            f"bits. {advice}"
        )
    return np.dtype(_DTYPES[code]).newbyteorder(cast("Any", header.endianness))


def _shape(header: Nifti1Header) -> tuple[tuple[int, ...], bool]:
    axes, *lengths = (int(length) for length in header["dim"])
    if not 1 <= axes <= 7 or min(lengths[:axes]) < 0:
        raise InputError(f"the header declares {axes} axes of lengths {lengths}. It is damaged")
    shape = tuple(max(length, 1) for length in lengths[:axes])
    if axes == 1 or any(length > 1 for length in shape[4:]):
        part = "numpy.asarray(scan.dataobj)[..., 0]"
        raise UnsupportedFormatError(
            f"a scan of shape {shape} is not supported: expected 2 to 4 axes. Save each of its "
            f"parts as a scan of its own, the first with {by_nibabel(part)}"
        )
    return shape, 0 in lengths[:axes]


def _offset(header: Nifti1Header, kind: str) -> int:
    declared = float(header["vox_offset"])
    if declared == 0:
        return FIRST_OFFSET[kind]
    # nifti1_io.c accepts files without the four bytes that announce extensions.
    if not HEADER_BYTES[kind] <= declared < 2**53:
        raise InputError(
            f"voxels begin at byte {declared:g}, expected {FIRST_OFFSET[kind]} or later. The "
            "header is damaged"
        )
    return int(declared)
