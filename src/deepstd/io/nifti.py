"""NIfTI-1 and NIfTI-2 single files, plain or gzipped, of either byte order.

    file ─ header (348 or 540) ─ extensions ─ voxels ─ whatever follows
             └──────────┬──────────┘            │             │
             SourceHeader.raw ◀─────────────────│─────────────┘
             affine (RAS+ mm) ◀─ header         └▶ stored values, slope and intercept not applied

`write` puts the same bytes back in the same places, so that an unmodified volume gives the file
it came from. nibabel interprets the header; the bytes are read here, so that a header's claims
are checked against the size of the file before memory is asked for.
"""

from __future__ import annotations

import gzip
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from deepstd.errors import GeometryError, InputError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from nibabel.nifti1 import Nifti1Header

NAMES = ("nifti1", "nifti2")
SUFFIXES = (".nii.gz", ".nii")
GZIP_MAGIC = b"\x1f\x8b"

_HEADER_BYTES = {"nifti1": 348, "nifti2": 540}
_FIRST_OFFSET = {"nifti1": 352, "nifti2": 544}
_MAGIC = {"nifti1": slice(344, 348), "nifti2": slice(4, 8)}
_SINGLE_FILE = {"nifti1": b"n+1\0", "nifti2": b"n+2\0"}
_PAIR = {"nifti1": b"ni1\0", "nifti2": b"ni2\0"}
_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_OTHER_TYPES = {
    1: "1-bit", 32: "complex64", 128: "RGB", 1536: "float128",
    1792: "complex128", 2048: "complex256", 2304: "RGBA",
}  # fmt: skip
_MILLIMETRES = {1: 1e3, 2: 1.0, 3: 1e-3}  # xyzt_units: metre, millimetre, micrometre
_MAX_NIFTI1_AXIS = 32767
_MAX_EXTENSION_BYTES = 1 << 25
_MAX_TRAILING_BYTES = 1 << 16
_MAX_DEFLATE_RATIO = 1032
_PIECE = 1 << 22
# Level 6 takes three times as long on CT for 3 % less.
_GZIP_LEVEL = 1


@dataclass(frozen=True)
class _Layout:
    """What a header says about the bytes after it.

    Attributes:
        header: nibabel's header.
        dtype: stored type with its byte order.
        shape: as the header has it.
        offset: of the voxels in the file.
    """

    header: Nifti1Header
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape without the axes of length one after the fourth."""
        shape = self.shape
        while len(shape) > 4 and shape[-1] == 1:
            shape = shape[:-1]
        return shape

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def recognises(head: bytes) -> bool:
    """Whether a file that begins so (after gunzip) is NIfTI, or its relative Analyze."""
    return _kind(head) is not None


def affine_of(source: SourceHeader) -> np.ndarray:
    """Voxel-to-world matrix, 4x4 float64, RAS+ millimetres, of a raw header.

    The sform is preferred to the qform, and that to the voxel sizes, as nibabel does.

    Raises:
        InputError: the header is damaged.
        GeometryError: the matrix is not finite, or the quaternion is not one.
    """
    return _affine(_layout(source.raw, source.format).header)


def read(path: Path) -> Volume:
    """Read a scan; voxels in the stored type and byte order, in Fortran order.

    Raises:
        UnsupportedFormatError: a header and image pair, a data type that is not one grey value,
            or more than four axes.
        InputError: the file is damaged or cut short.
    """
    with _open(path) as (stream, available):
        start, kind, layout = _begin(stream, available)
        start += _take(stream, layout.offset - len(start), "the header extensions")
        voxels = np.empty(layout.nbytes, np.uint8)
        _fill(stream, voxels.data)
        end = stream.read(_MAX_TRAILING_BYTES + 1)
    if len(end) > _MAX_TRAILING_BYTES:
        raise InputError(
            f"more than {_MAX_TRAILING_BYTES} bytes follow the {layout.nbytes} bytes of voxels "
            f"that the header declares with shape {layout.shape}. The header is wrong"
        )
    stored = voxels.view(layout.dtype).reshape(layout.frame_shape, order="F")
    return Volume(stored, _affine(layout.header), SourceHeader(kind, start + end))


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and stored type in a scan's header; raises as `read`, as far as the header goes."""
    with _open(path) as (stream, available):
        _, _, layout = _begin(stream, available)
    return layout.frame_shape, layout.dtype


def write(volume: Volume, path: Path, scale: tuple[float, float] = (1.0, 0.0)) -> None:
    """Write a scan: with its own header where it came from NIfTI, else with a fresh one.

    A fresh header states ``scale``, a slope and an intercept, and is NIfTI-1 where the axes fit.
    Booleans become uint8, float16 becomes float32.

    Raises:
        InputError: the volume's NIfTI header does not fit its voxels or affine.
    """
    if volume.source.format in NAMES:
        raw = volume.source.raw
        layout = _own_layout(volume)
    else:
        raw, layout = _fresh_header(volume, scale)
    # The transpose of a Fortran-ordered array is what the file holds, in C order.
    stored = np.ascontiguousarray(volume.voxels.T, dtype=layout.dtype)
    with _create(path) as stream:
        stream.write(raw[: layout.offset])
        stream.write(stored.reshape(-1).view(np.uint8).data)
        stream.write(raw[layout.offset :])


def _begin(stream: BinaryIO, available: int) -> tuple[bytes, str, _Layout]:
    """The header's bytes, its kind and what it says, which a file of such a size can hold."""
    start = _take(stream, _HEADER_BYTES["nifti1"], "the header")
    kind = _kind(start)
    if kind is None:
        raise InputError("not a NIfTI header")
    start += _take(stream, _HEADER_BYTES[kind] - len(start), "the header")
    layout = _layout(start, kind)
    if layout.offset - len(start) > _MAX_EXTENSION_BYTES:
        raise InputError(
            f"voxels begin at byte {layout.offset}, expected at most "
            f"{_MAX_EXTENSION_BYTES} bytes of header extensions. The header is damaged"
        )
    if layout.offset + layout.nbytes > available:
        raise InputError(
            f"the header declares {layout.shape} voxels of {layout.dtype.name} from byte "
            f"{layout.offset}, {layout.nbytes} bytes, but the file cannot hold more than "
            f"{available}. It is damaged or cut short"
        )
    return start, kind, layout


def _kind(head: bytes) -> str | None:
    size = head[:4]
    for kind, count in _HEADER_BYTES.items():
        if size in (count.to_bytes(4, "little"), count.to_bytes(4, "big")):
            return kind if len(head) >= _HEADER_BYTES["nifti1"] else None
    return None


def _layout(raw: bytes, kind: str) -> _Layout:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    size = _HEADER_BYTES[kind]
    if len(raw) < size or _kind(raw) != kind:
        raise InputError(f"not a whole {kind} header: it has {len(raw)} of {size} bytes")
    magic = raw[_MAGIC[kind]]
    if magic == _PAIR[kind]:
        raise UnsupportedFormatError(PAIR_ADVICE)
    if magic != _SINGLE_FILE[kind]:
        raise UnsupportedFormatError(
            "an Analyze 7.5 or damaged NIfTI header: its signature is "
            f"{magic!r}, expected {_SINGLE_FILE[kind]!r}. Convert the scan to NIfTI"
        )
    order = "<" if raw[:4] == size.to_bytes(4, "little") else ">"
    header_class = Nifti1Header if kind == "nifti1" else Nifti2Header
    header = header_class(raw[:size], endianness=order, check=False)
    return _Layout(header, _dtype(header, order), _shape(header), _offset(header, kind))


def _dtype(header: Nifti1Header, order: str) -> np.dtype:
    code = int(header["datatype"])
    if code not in _DTYPES:
        raise UnsupportedFormatError(
            f"voxels of type {_OTHER_TYPES.get(code, f'number {code}')} are not supported: "
            "expected integers or floats of at most 64 bits. Convert the scan to one grey value "
            "per voxel"
        )
    return np.dtype(_DTYPES[code]).newbyteorder(cast("Any", order))


def _shape(header: Nifti1Header) -> tuple[int, ...]:
    axes, *lengths = (int(length) for length in header["dim"])
    if not 1 <= axes <= 7 or min(lengths[:axes]) < 1:
        raise InputError(f"the header declares {axes} axes of lengths {lengths}. It is damaged")
    shape = tuple(lengths[:axes])
    if axes == 1 or any(length > 1 for length in shape[4:]):
        raise UnsupportedFormatError(
            f"a scan of shape {shape} is not supported: expected 2 to 4 axes. Split it into "
            "scans of one value per voxel"
        )
    return shape


def _offset(header: Nifti1Header, kind: str) -> int:
    declared = float(header["vox_offset"])
    first = _FIRST_OFFSET[kind]
    if declared == 0:  # as nibabel and FSL read it
        return first
    if not first <= declared < 2**53:
        raise InputError(
            f"voxels begin at byte {declared:g}, expected {first} or later. The header is damaged"
        )
    return int(declared)


def _affine(header: Nifti1Header) -> np.ndarray:
    try:
        with np.errstate(all="ignore"):
            affine = np.array(header.get_best_affine(), dtype=np.float64)
            affine[:3] *= millimetres_of(header)
    except (ValueError, ArithmeticError) as error:
        raise GeometryError(f"the header's orientation is damaged ({error})") from error
    if not np.isfinite(affine).all():
        raise GeometryError("the header's affine is not finite. Set its sform or voxel sizes")
    return affine


def millimetres_of(header: Nifti1Header) -> float:
    """Return the millimetres of the header's unit of length; 1 where it states none."""
    return _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)


def check_header(source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The affine of a header that describes such voxels.

    Raises:
        InputError: the header is damaged, or describes others.
    """
    return _affine(_checked_layout(source, shape, dtype).header)


def check_affine(affine: np.ndarray | None, declared: np.ndarray) -> None:
    """InputError where a scan's affine is not the one that its header declares."""
    if affine is None or not np.allclose(affine, declared, rtol=1e-5, atol=1e-5):
        raise InputError(
            "the scan's affine is not the one of its header. Give the volume a "
            "SourceHeader('npy') to write it with a fresh header"
        )


def with_fresh_header(volume: Volume) -> Volume:
    """The same scan with a header that declares its affine.

    Raises:
        InputError: no NIfTI header can declare voxels of its type.
    """
    raw, layout = _fresh_header(volume)
    if layout.dtype.newbyteorder("=") != volume.voxels.dtype.newbyteorder("="):
        raise InputError(
            f"a scan of type {volume.voxels.dtype} cannot keep an affine: convert it to "
            f"{layout.dtype}"
        )
    kind = "nifti1" if len(raw) == _FIRST_OFFSET["nifti1"] else "nifti2"
    header = SourceHeader(kind, raw)
    return Volume(volume.voxels, _affine(layout.header), header, volume.notes)


def _own_layout(volume: Volume) -> _Layout:
    layout = _checked_layout(volume.source, volume.shape, volume.voxels.dtype)
    check_affine(volume.affine, _affine(layout.header))
    return layout


def _checked_layout(source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype) -> _Layout:
    layout = _layout(source.raw, source.format)
    if len(source.raw) < layout.offset:
        raise InputError(
            f"the scan's header ends at byte {len(source.raw)}, before its voxels begin "
            f"at byte {layout.offset}"
        )
    stored = dtype.newbyteorder("=")
    if (layout.frame_shape, layout.dtype.newbyteorder("=")) != (shape, stored):
        raise InputError(
            f"the scan has {shape} voxels of {stored}, its header declares "
            f"{layout.frame_shape} of {layout.dtype.name}. Give the volume a "
            "SourceHeader('npy') to write it with a fresh header"
        )
    return layout


def _fresh_header(volume: Volume, scale: tuple[float, float] = (1.0, 0.0)) -> tuple[bytes, _Layout]:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    kind = "nifti1" if max(volume.shape) <= _MAX_NIFTI1_AXIS else "nifti2"
    header = Nifti1Header() if kind == "nifti1" else Nifti2Header()
    dtype = volume.voxels.dtype.newbyteorder("=")
    dtype = {"bool": np.dtype("u1"), "float16": np.dtype("f4")}.get(dtype.name, dtype)
    header.set_data_dtype(dtype)
    header.set_data_shape(volume.shape)
    spacing = volume.spacing
    if volume.affine is not None and spacing is not None:
        header.set_zooms(spacing + (1.0,) * (len(volume.shape) - len(spacing)))
        header.set_sform(volume.affine, code="aligned")
        header.set_xyzt_units(xyz="mm")
    header["vox_offset"] = _FIRST_OFFSET[kind]
    if scale != (1.0, 0.0):
        header["scl_slope"], header["scl_inter"] = scale
    raw = header.binaryblock + bytes(_FIRST_OFFSET[kind] - len(header.binaryblock))
    return raw, _layout(raw, kind)


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The bytes of a file, unzipped, and the most that there can be."""
    with open(path, "rb") as stored:
        available = os.fstat(stored.fileno()).st_size
        zipped = stored.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        stored.seek(0)
        if not zipped:
            yield stored, available
            return
        with gzip.GzipFile(fileobj=stored, mode="rb") as stream:
            yield cast("BinaryIO", stream), available * _MAX_DEFLATE_RATIO


@contextmanager
def _create(path: Path) -> Iterator[BinaryIO]:
    with open(path, "wb") as stored:
        if not path.name.lower().endswith(".gz"):
            yield stored
            return
        # Neither name nor time, so that equal scans give equal files.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, stored, mtime=0) as stream:
            yield cast("BinaryIO", stream)


def _take(stream: BinaryIO, count: int, what: str) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise InputError(f"the file ends in {what}. It is cut short")
    return data


def _fill(stream: BinaryIO, target: memoryview) -> None:
    done = 0
    while done < len(target):
        count = stream.readinto(target[done : done + _PIECE])  # pyright: ignore[reportAttributeAccessIssue]
        if not count:
            raise InputError(
                f"expected {len(target)} bytes of voxels, found {done}. The file is cut short"
            )
        done += count


PAIR_ADVICE = (
    "a NIfTI header and image pair is not supported. Join it into one file, for example with "
    'nibabel: nibabel.save(nibabel.load("scan.hdr"), "scan.nii.gz")'
)
