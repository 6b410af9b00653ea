"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd) files, their geometry as SimpleITK reads it.

    file ─ header, checked ─▶ SimpleITK ─▶ origin, spacing, direction (LPS) ─▶ affine (RAS+ mm)
                 │                                   └▶ SourceHeader.raw: JSON, empty by default
                 └▶ where the voxels are ─▶ voxels[i, j, k(, frame)] in the stored type
    Volume ─ SimpleITK ─▶ .nrrd, .mha, compressed

Free key-value pairs may name a patient ("0010|0010:=…" where SimpleITK made the file from DICOM).
They are dropped unless ``Metadata.ALL`` is asked for.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from deepstd.errors import InputError, MissingExtraError, UnsupportedFormatError
from deepstd.io import headers, itk_geometry, meta_header, nrrd_header
from deepstd.io.itk_data import read_voxels
from deepstd.io.itk_geometry import METAIMAGE, NAMES, NRRD, Geometry, Kept
from deepstd.io.metadata import KeptMetadata, Metadata
from deepstd.io.rescale import real_world, rescaled, scale_of
from deepstd.io.world import in_world
from deepstd.volume import SourceHeader, Volume

NRRD_SUFFIXES = (".nrrd", ".nhdr")
METAIMAGE_SUFFIXES = (".mha", ".mhd")
_IMAGE_IO = {NRRD: "NrrdImageIO", METAIMAGE: "MetaImageIO"}
_PARSERS = {NRRD: nrrd_header.parse, METAIMAGE: meta_header.parse}
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .|()/-]*")
_DATA_LINE = b"ElementDataFile = LOCAL\n"
# Free bytes of the disk below which a failed write means a full disk. ITK reports it in many ways,
# or not at all.
_NO_ROOM = 1 << 16


def read_nrrd(path: Path, metadata: KeptMetadata = Metadata.DEIDENTIFIED) -> Volume:
    """Read an NRRD scan of one grey value per voxel, in native byte order.

    Args:
        path: a .nrrd or .nhdr file.
        metadata: free key-value pairs are kept with ``Metadata.ALL`` only.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        UnsupportedFormatError: colour, vectors, several data files or another type.
        GeometryError: the file's axes do not span space.
        InputError: the file is damaged or cut short.
    """
    return _read(path, NRRD, metadata)


def read_metaimage(path: Path, metadata: KeptMetadata = Metadata.DEIDENTIFIED) -> Volume:
    """Read a MetaImage scan of one grey value per voxel, in native byte order.

    Args:
        path: a .mha or .mhd file.
        metadata: free key-value pairs are kept with ``Metadata.ALL`` only.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        UnsupportedFormatError: colour, vectors, several data files or another type.
        GeometryError: the file's axes do not span space.
        InputError: the file is damaged or cut short.
    """
    return _read(path, METAIMAGE, metadata)


def write(volume: Volume, path: Path) -> None:
    """Write a scan as .nrrd or .mha, compressed, with its geometry.

    Booleans become uint8, and float16 becomes float32. The slope and intercept of the source are
    applied to the values. Only a MetaImage written from MetaImage keeps stored values and states
    slope and intercept.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        UnsupportedFormatError: ``path`` is a detached header (.nhdr).
        GeometryError: the affine is singular.
    """
    sitk = _simpleitk()
    if path.suffix.lower() == ".nhdr":
        raise UnsupportedFormatError("a detached header cannot be written. Use .nrrd")
    kind = NRRD if path.suffix.lower() in NRRD_SUFFIXES else METAIMAGE
    image, scale = image_of(volume, kind)
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
    if scale != itk_geometry.NO_SCALE:
        _state_scale(path, scale)


def image_of(volume: Volume, kind: str) -> tuple[Any, tuple[float, float]]:
    """Return an image of SimpleITK, and the slope and intercept that it lacks.

    Args:
        volume: the scan.
        kind: NRRD or METAIMAGE, which decides the free fields, and whether values stay stored ones.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        GeometryError: the affine is singular.
    """
    sitk = _simpleitk()
    voxels, kept = _as_itk_has_it(volume, kind)
    geometry = kept.geometry
    if len(geometry.origin) > voxels.ndim:
        voxels = voxels[..., None]
    stored = {"bool": "u1", "float16": "f4"}.get(voxels.dtype.newbyteorder("=").name)
    dtype = np.dtype(stored or voxels.dtype.newbyteorder("="))
    # ITK holds the transpose of a Fortran-ordered array, in C order.
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T, dtype=dtype), isVector=False)
    image.SetSpacing(geometry.spacing.tolist())
    image.SetOrigin(geometry.origin.tolist())
    image.SetDirection(geometry.direction.ravel().tolist())
    for name, value in kept.fields.items():
        if _is_harmless(name, value, kind):
            image.SetMetaData(name, value)
    return image, kept.scale


def write_pair(volume: Volume, header: Path, data: Path, data_name: str) -> None:
    """Write a .mhd file and a file with its voxels.

    Args:
        volume: the scan.
        header: path of the .mhd file.
        data: path of the file with the voxels.
        data_name: name of the file with the voxels in the header.
    """
    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        whole = Path(folder) / "scan.mha"
        write(volume, whole)
        with open(whole, "rb") as stream, open(header, "wb") as head, open(data, "wb") as rest:
            for line in iter(stream.readline, _DATA_LINE):
                head.write(line)
            head.write(_DATA_LINE.replace(b"LOCAL", data_name.encode()))
            shutil.copyfileobj(stream, rest)


def _state_scale(path: Path, scale: tuple[float, float]) -> None:
    """Insert slope and offset, which SimpleITK does not write, into the header of a .mha file."""
    slope, offset = scale
    told = (
        f"ElementToIntensityFunctionSlope = {slope:.17g}\n"
        f"ElementToIntensityFunctionOffset = {offset:.17g}\n"
    )
    with tempfile.TemporaryFile() as copy, open(path, "r+b") as stream:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        stream.seek(0)
        for line in iter(copy.readline, _DATA_LINE):
            stream.write(line)
        stream.write(told.encode() + _DATA_LINE)
        shutil.copyfileobj(copy, stream)


def _is_harmless(name: str, value: str, kind: str) -> bool:
    """Return whether a field is written as a free field and cannot alter the rest of the header."""
    if _FIELD.fullmatch(name) is None or name.startswith(("NRRD_", "ITK_")):
        return False
    if kind == METAIMAGE:
        return name not in meta_header.KEYS and value.isprintable()
    return value.replace("\n", "").isprintable()


def _read(path: Path, kind: str, metadata: KeptMetadata) -> Volume:
    sitk = _simpleitk()
    header = _PARSERS[kind](path)
    geometry = _geometry_by_itk(sitk, header.plain, kind, header.layout.shape)
    fields = header.fields if metadata is Metadata.ALL else {}
    raw = itk_geometry.pack(Kept(geometry, fields, header.scale))
    source = SourceHeader(kind, raw)
    affine = itk_geometry.affine_of(source, len(header.layout.shape))
    return Volume(read_voxels(header.layout), affine, source, header.notes)


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


def _geometry_by_itk(sitk: Any, plain: str, kind: str, shape: tuple[int, ...]) -> Geometry:
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
    geometry = Geometry(
        np.array(reader.GetOrigin()),
        np.array(reader.GetSpacing()),
        np.array(reader.GetDirection()).reshape(axes, axes),
    )
    itk_geometry.check(geometry)
    return geometry


def _as_itk_has_it(volume: Volume, kind: str) -> tuple[np.ndarray, Kept]:
    """Return the voxels to write, with their geometry, fields and scale.

    A scan from NRRD or MetaImage keeps the header while its affine is that header's. Any other scan
    gets the geometry of its affine. A fourth axis of length one is left out, as SimpleITK reads
    NIfTI.
    """
    source, axes = volume.source, volume.voxels.ndim
    if source.format in NAMES:
        kept = itk_geometry.unpack(source.raw, axes)
        if volume.affine is not None and np.array_equal(kept.geometry.affine, volume.affine):
            if kind == METAIMAGE and source.format == METAIMAGE:
                return volume.voxels, kept
            return real_world(volume).voxels, Kept(kept.geometry, kept.fields)
    placed, frames = in_world(volume), headers.frames_of(volume)
    voxels = placed.voxels
    if axes == 4 and voxels.shape[3] == 1:
        voxels, axes = voxels[..., 0], 3
    slope, intercept = scale_of(source)
    if (slope, intercept) != itk_geometry.NO_SCALE:
        voxels = rescaled(voxels, slope, intercept)
    if placed.affine is None:
        geometry = itk_geometry.without_affine(axes)
    else:
        geometry = itk_geometry.from_affine(placed.affine, axes)
    return voxels, Kept(geometry.with_frames(*frames))
