"""Facts in the header of a scan's file, read without its voxels.

path ─ format by content ─▶ Glance: shape, stored type, voxel size, description
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepstd.errors import DeepSTDError, InputError
from deepstd.io import itk_geometry, meta_header, nifti, nrrd_header, parts
from deepstd.io.formats import format_of_content
from deepstd.io.others import filled_in
from deepstd.io.streams import opened
from deepstd.volume import SourceHeader

_HEADER_BYTES = 540  # a NIfTI-2 header, the longer one
# Bytes of the description, of 80 characters, in a NIfTI header.
_DESCRIPTION = {"nifti1": slice(148, 228), "nifti2": slice(240, 320)}
_PARSERS = {"NRRD": nrrd_header.parse, "MetaImage": meta_header.parse}


@dataclass(frozen=True)
class Glance:
    """Facts in a scan's header.

    Attributes:
        format: name of the format in messages.
        shape: lengths of 2 to 4 axes; None where the whole file would have to be read.
        dtype: stored type of a voxel; None where the whole file would have to be read.
        spacing: voxel size along the spatial axes in mm; None where the header states none.
        description: free text of the header; empty where there is none.
    """

    format: str
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    spacing: tuple[float, ...] | None = None
    description: str = ""


def glance(path: Path) -> Glance:
    """Read the header of a scan's file, or of file::name, in any format but DICOM.

    Raises:
        UnsupportedFormatError: the format is unknown or not supported.
        InputError: the file is damaged or cannot be read.
    """
    file, _ = parts.split(path)
    try:
        family = format_of_content(path)
        if family.label in _PARSERS:
            layout = _PARSERS[family.label](path).layout
            return Glance(family.label, layout.shape, layout.dtype)
        declared = None if family.declares is None else family.declares(path)
        shape, dtype = (None, None) if declared is None else declared
        if family.label != "NIfTI":
            return Glance(file.suffix[1:].upper(), shape, dtype)
        return Glance(family.label, shape, dtype, *_nifti(_start(path)))
    except DeepSTDError as error:
        raise type(error)(filled_in(str(error), file.name)) from error
    except Exception as error:
        # zlib, nibabel and Pillow raise many kinds of errors and document none.
        raise InputError(f"its header cannot be read ({type(error).__name__})") from error


def described(source: SourceHeader) -> str:
    """Return the description in a kept NIfTI header; empty for other formats."""
    return _text(source.raw[_DESCRIPTION[source.format]]) if source.format in nifti.NAMES else ""


def spacing_of(source: SourceHeader, axes: int) -> tuple[float, ...] | None:
    """Return the voxel size in a kept NIfTI, NRRD or MetaImage header in mm; None for other
    formats.
    """
    if source.format in nifti.NAMES:
        return _lengths(nifti.affine_of(source), axes)
    return (
        _lengths(itk_geometry.affine_of(source, axes), axes)
        if source.format in itk_geometry.NAMES
        else None
    )


def _nifti(raw: bytes) -> tuple[tuple[float, ...], str]:
    is_first = raw[:4] in ((348).to_bytes(4, "little"), (348).to_bytes(4, "big"))
    source = SourceHeader("nifti1" if is_first else "nifti2", raw)
    return _lengths(nifti.affine_of(source), 3), described(source)


def _lengths(affine: np.ndarray, axes: int) -> tuple[float, ...]:
    return tuple(float(x) for x in np.linalg.norm(affine[:3, : min(axes, 3)], axis=0))


def _start(path: Path) -> bytes:
    with opened(path) as unpacked:
        return unpacked.stream.read(_HEADER_BYTES)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", errors="replace").strip()
