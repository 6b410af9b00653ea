"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd) files, their geometry as SimpleITK reads it.

    file ─ header, checked ─▶ SimpleITK ─▶ origin, spacing, direction (LPS) ─▶ affine (RAS+ mm)
                 │                                   └▶ SourceHeader.raw: JSON, empty by default
                 └▶ where the voxels are ─▶ voxels[i, j, k(, frame)] in the stored type
    Volume ─ SimpleITK ─▶ .nrrd, .mha, compressed

Free key-value pairs ("0010|0010:=…" where SimpleITK made the file from DICOM) may name a patient:
they are dropped unless ``Metadata.ALL`` is asked for. `affine_of` needs no SimpleITK.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deepstd.errors import GeometryError, InputError, MissingExtraError, UnsupportedFormatError
from deepstd.io import meta_header, nrrd_header
from deepstd.io.itk_data import read_voxels
from deepstd.io.metadata import Metadata
from deepstd.io.rescale import real_world
from deepstd.volume import SourceHeader, Volume

NRRD, METAIMAGE = "nrrd", "metaimage"
NAMES = (NRRD, METAIMAGE)
NRRD_SUFFIXES = (".nrrd", ".nhdr")
METAIMAGE_SUFFIXES = (".mha", ".mhd")
_IMAGE_IO = {NRRD: "NrrdImageIO", METAIMAGE: "MetaImageIO"}
_PARSERS = {NRRD: nrrd_header.parse, METAIMAGE: meta_header.parse}
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .|()/-]*")
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_SMALLEST_DETERMINANT = 1e-9
# With fewer bytes free, ITK's error is that of a full disk, which it says in many ways or not.
_NO_ROOM = 1 << 16


@dataclass(frozen=True)
class _Geometry:
    """As ITK has it: LPS millimetres; ``direction`` has one row an axis of space."""

    origin: np.ndarray
    spacing: np.ndarray
    direction: np.ndarray

    @property
    def affine(self) -> np.ndarray:
        """4x4 matrix in RAS+ millimetres of the spatial axes."""
        axes = min(len(self.origin), 3)
        affine = np.eye(4)
        affine[:axes, :axes] = self.direction[:axes, :axes] * self.spacing[:axes]
        affine[:axes, 3] = self.origin[:axes]
        affine[:3] *= _LPS_TO_RAS[:, None]
        affine[2, 2] = 1.0 if axes == 2 else affine[2, 2]
        return affine + 0.0  # no negative zeros


def read_nrrd(path: Path, metadata: Metadata = Metadata.DEIDENTIFIED) -> Volume:
    """Read an NRRD file; see `read_metaimage`."""
    return _read(path, NRRD, metadata)


def read_metaimage(path: Path, metadata: Metadata = Metadata.DEIDENTIFIED) -> Volume:
    """Read a scan of one grey value per voxel, in native byte order.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        UnsupportedFormatError: colour, vectors, several data files or another type.
        GeometryError: the file's axes do not span space.
        InputError: the file is damaged or cut short.
    """
    return _read(path, METAIMAGE, metadata)


def affine_of(source: SourceHeader, axes: int | None = None) -> np.ndarray:
    """The affine, 4x4 float64, RAS+ millimetres, that a kept header says.

    Args:
        source: header as `read_nrrd` and `read_metaimage` keep it.
        axes: of the scan, where known: another number in the header is then an error.

    Raises:
        InputError: the header is damaged.
        GeometryError: its matrix is singular or not finite.
    """
    return _unpack(source.raw, axes)[0].affine


def subsampled(source: SourceHeader, axes: int, factors: Sequence[int]) -> SourceHeader:
    """The header of a scan of which every so many-th voxel is left, the first among them.

    Raises:
        InputError: the header is damaged.
    """
    geometry, fields = _unpack(source.raw, axes)
    spacing = geometry.spacing.copy()
    spacing[: len(factors)] *= factors
    return SourceHeader(source.format, _pack(replace(geometry, spacing=spacing), fields))


def on_grid(source: SourceHeader, axes: int, affine: np.ndarray) -> SourceHeader:
    """Return the header of a scan on another grid; a fourth axis stays as it is.

    Raises:
        InputError: the header is damaged.
        GeometryError: the affine is singular.
    """
    geometry, fields = _unpack(source.raw, axes)
    other = _from_affine(affine, axes)
    other.origin[3:], other.spacing[3:] = geometry.origin[3:], geometry.spacing[3:]
    return SourceHeader(source.format, _pack(other, fields))


def write(volume: Volume, path: Path) -> None:
    """Write a scan as .nrrd or .mha, compressed, with its geometry.

    Booleans become uint8 and float16 float32. A scan whose file states a slope and intercept is
    written with both applied, as neither format can state them.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        GeometryError: the affine is singular.
    """
    sitk = _simpleitk()
    if path.suffix.lower() == ".nhdr":
        raise UnsupportedFormatError("a detached header cannot be written. Use .nrrd")
    scaled = real_world(volume)
    voxels = scaled.voxels
    geometry, fields = _geometry_and_fields(volume)
    if len(geometry.origin) > voxels.ndim:
        voxels = voxels[..., None]
    stored = {"bool": "u1", "float16": "f4"}.get(voxels.dtype.newbyteorder("=").name)
    dtype = np.dtype(stored or voxels.dtype.newbyteorder("="))
    # The transpose of a Fortran-ordered array is what ITK holds, in C order.
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T, dtype=dtype), isVector=False)
    image.SetSpacing(geometry.spacing.tolist())
    image.SetOrigin(geometry.origin.tolist())
    image.SetDirection(geometry.direction.ravel().tolist())
    kind = NRRD if path.suffix.lower() in NRRD_SUFFIXES else METAIMAGE
    for name, value in fields.items():
        if _is_harmless(name, value, kind):
            image.SetMetaData(name, value)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO(_IMAGE_IO[kind])
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    try:
        writer.Execute(image)
    except RuntimeError as error:
        if shutil.disk_usage(path.parent).free >= _NO_ROOM:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def write_pair(volume: Volume, header: Path, data: Path, data_name: str) -> None:
    """Write a .mhd file and its voxels, which the header calls ``data_name``."""
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        whole = Path(folder) / "scan.mha"
        write(volume, whole)
        local = b"ElementDataFile = LOCAL\n"
        with open(whole, "rb") as stream, open(header, "wb") as head, open(data, "wb") as rest:
            for line in iter(stream.readline, local):
                head.write(line)
            head.write(local.replace(b"LOCAL", data_name.encode()))
            while piece := stream.read(1 << 20):
                rest.write(piece)


def _is_harmless(name: str, value: str, kind: str) -> bool:
    """Whether a field stays a field when it is written, and does not become part of the header."""
    if _FIELD.fullmatch(name) is None or name.startswith(("NRRD_", "ITK_")):
        return False
    if kind == METAIMAGE:
        return name not in meta_header.KEYS and value.isprintable()
    return value.replace("\n", "").isprintable()


def _read(path: Path, kind: str, metadata: Metadata) -> Volume:
    sitk = _simpleitk()
    header = _PARSERS[kind](path)
    geometry = _geometry_by_itk(sitk, header.plain, kind, header.layout.shape)
    raw = _pack(geometry, header.fields if metadata is Metadata.ALL else {})
    affine = affine_of(SourceHeader(kind, raw), len(header.layout.shape))
    return Volume(read_voxels(header.layout), affine, SourceHeader(kind, raw))


def _simpleitk() -> Any:
    try:
        import SimpleITK as sitk  # noqa: N813
    except ImportError as error:
        raise MissingExtraError(
            'NRRD and MetaImage files need SimpleITK: pip install "deepstd[itk]"'
        ) from error
    # ITK prints warnings past Python, to stderr.
    sitk.ProcessObject_SetGlobalWarningDisplay(False)
    return sitk


def _geometry_by_itk(sitk: Any, plain: str, kind: str, shape: tuple[int, ...]) -> _Geometry:
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        path = Path(folder) / f"header{'.nrrd' if kind == NRRD else '.mha'}"
        path.write_text(plain, encoding="ascii")
        reader = sitk.ImageFileReader()
        reader.SetImageIO(_IMAGE_IO[kind])
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            # Its message is long and names the temporary file.
            raise InputError("SimpleITK cannot make sense of the header's geometry") from error
    if tuple(reader.GetSize()) != shape:
        raise UnsupportedFormatError(
            f"SimpleITK reads axes of {tuple(reader.GetSize())}, the header declares {shape}: a "
            "scan of several values per voxel is not supported"
        )
    axes = len(shape)
    geometry = _Geometry(
        np.array(reader.GetOrigin()),
        np.array(reader.GetSpacing()),
        np.array(reader.GetDirection()).reshape(axes, axes),
    )
    _check(geometry)
    return geometry


def _check(geometry: _Geometry) -> None:
    parts = (geometry.origin, geometry.spacing, geometry.direction)
    if not all(np.isfinite(part).all() for part in parts) or (geometry.spacing <= 0).any():
        raise GeometryError("the voxel sizes, origin or directions are not finite and positive")
    if abs(np.linalg.det(geometry.direction)) < _SMALLEST_DETERMINANT:
        raise GeometryError("the directions of the axes do not span space (the matrix is singular)")
    if len(geometry.origin) == 4 and (
        geometry.direction[3, :3].any() or geometry.direction[:3, 3].any()
    ):
        raise UnsupportedFormatError("a scan whose fourth axis is not time is not supported")


def _geometry_and_fields(volume: Volume) -> tuple[_Geometry, dict[str, str]]:
    """What the scan's own header says where it is one of ours, otherwise what its affine means."""
    axes = volume.voxels.ndim
    fields: dict[str, str] = {}
    if volume.source.format in NAMES:
        geometry, fields = _unpack(volume.source.raw, axes)
        if volume.affine is not None and np.array_equal(geometry.affine, volume.affine):
            return geometry, fields
    if volume.affine is None:
        return _Geometry(np.zeros(axes), np.ones(axes), np.eye(axes)), fields
    return _from_affine(volume.affine, axes), fields


def _from_affine(affine: np.ndarray, axes: int) -> _Geometry:
    """ITK's view of an affine; an image that does not lie in the plane z = 0 becomes a slice."""
    matrix = affine[:3] * _LPS_TO_RAS[:, None]
    flat = not matrix[2, [0, 1, 3]].any()
    size = axes if axes > 2 or flat else 3
    spatial = min(size, 3)
    origin, spacing, direction = np.zeros(size), np.ones(size), np.eye(size)
    origin[:spatial] = matrix[:spatial, 3]
    spacing[:spatial] = np.linalg.norm(matrix[:spatial, :spatial], axis=0)
    if (spacing == 0).any():
        raise GeometryError("the affine is singular: an axis has no length. Correct it first")
    direction[:spatial, :spatial] = matrix[:spatial, :spatial] / spacing[:spatial]
    geometry = _Geometry(origin, spacing, direction)
    _check(geometry)
    return geometry


def _pack(geometry: _Geometry, fields: dict[str, str]) -> bytes:
    """Compact JSON of what is not as it is by default; empty where nothing is."""
    axes = len(geometry.origin)
    told: dict[str, Any] = {}
    for name, values, default in (
        ("origin", geometry.origin, np.zeros(axes)),
        ("spacing", geometry.spacing, np.ones(axes)),
        ("direction", geometry.direction.ravel(), np.eye(axes).ravel()),
    ):
        if not np.array_equal(values, default):
            told[name] = [int(v) if v == int(v) and abs(v) < 2**53 else v for v in values.tolist()]
    if fields:
        told["fields"] = fields
    return json.dumps(told, separators=(",", ":")).encode() if told else b""


def _unpack(raw: bytes, axes: int | None) -> tuple[_Geometry, dict[str, str]]:
    try:
        told = json.loads(raw) if raw else {}
        if not isinstance(told, dict):
            raise TypeError("not an object")
        axes = _axes_of(told) if axes is None else axes
        geometry = _Geometry(
            _numbers(told.get("origin", [0] * axes), axes),
            _numbers(told.get("spacing", [1] * axes), axes),
            _numbers(told.get("direction", np.eye(axes).ravel().tolist()), axes**2).reshape(
                axes, axes
            ),
        )
        fields = told.get("fields", {})
        if not all(isinstance(text, str) for pair in fields.items() for text in pair):
            raise TypeError("a field is not text")
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"the scan's header is damaged ({error})") from error
    _check(geometry)
    return geometry, fields


def _axes_of(told: dict[str, Any]) -> int:
    for name in ("origin", "spacing"):
        if name in told:
            return len(told[name])
    return math.isqrt(len(told.get("direction", range(9))))


def _numbers(values: Any, count: int) -> np.ndarray:
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"expected {count} finite numbers")
    return np.array(numbers)
