"""Siemens mosaics: the slices of a volume side by side in one plane.

    object ─ private header ─▶ number of slices, slice normal ─▶ object of as many frames
    place of the plane ─▶ places of the slices

nibabel parses the private header (CSA).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.dicom.images import Image, number, text
from deepstd.io.dicom.places import Place, spacing_between_slices

if TYPE_CHECKING:
    from pydicom import Dataset

KIND = "MOSAIC"
# Private elements: group, creator, number in its block.
_TILE_COUNT = (0x0019, "SIEMENS MR HEADER", 0x0A)
_SLICE_TIMES = (0x0019, "SIEMENS MR HEADER", 0x29)
_GRID_COUNT = (0x0065, "Image Private Header", 0x50)
_MOST_TILES = 1 << 12  # bounds the work on a damaged header
_PARALLEL = 0.99  # cosine of the stated normal and the plane's
_COMMAND = "dcm2niix -o OUT FOLDER"
_ADVICE = f"Unpack them ({_COMMAND}) and compress the NIfTI files"


def unpacked(image: Image) -> Image:
    """Return a mosaic as an object of one frame a slice; return any other object unchanged.

    Raises:
        UnsupportedFormatError: the number of slices is not stated, or another vendor made the
            mosaic.
        InputError: the header is damaged.
    """
    dataset, label = image.dataset, image.item.label
    if _private(dataset, *_GRID_COUNT) is not None and "UIH" in text(dataset, "Manufacturer"):
        raise UnsupportedFormatError(f"{label}: slices side by side (United Imaging). {_ADVICE}")
    count = _count(dataset)
    if count is None:
        if KIND in kinds_of(dataset):
            raise UnsupportedFormatError(
                f"{label}: a Siemens mosaic without the private header that tells how many slices "
                f"lie side by side. Take the original files, or their NIfTI ({_COMMAND})"
            )
        return image
    grid = math.ceil(math.sqrt(count))
    if count == 1 or not _is_tiled(image, grid):
        return image
    if count > _MOST_TILES or image.rows % grid or image.columns % grid or image.frames > 1:
        raise InputError(
            f"{label}: a mosaic of {count} slices cannot have {image.frames} x {image.rows} x "
            f"{image.columns} pixels. It is damaged"
        )
    rows, columns = image.rows // grid, image.columns // grid
    return replace(image, rows=rows, columns=columns, frames=count, grid=grid)


def tile_places(image: Image, plane: Place) -> list[Place]:
    """Return the planes of the slices of a mosaic in the patient, in stored order.

    Args:
        image: mosaic as `unpacked` returns it.
        plane: plane that the header states, which is as large as the mosaic and has the same centre
            as a slice.

    Raises:
        InputError: the slice normal is damaged, or the distance of slices is not stated.
    """
    dataset = image.dataset
    distance = spacing_between_slices(dataset) or number(dataset, "SliceThickness")
    if not distance:
        raise InputError("the distance of the slices of a mosaic is not stated")
    between_rows, between_columns = plane.spacing
    right = (image.grid - 1) / 2 * image.columns * between_columns * plane.orientation[0]
    down = (image.grid - 1) / 2 * image.rows * between_rows * plane.orientation[1]
    normal, direction = _normal(dataset), 1
    if normal is not None:
        along = float(normal @ plane.normal)
        if abs(along) < _PARALLEL:
            raise InputError("the slices of a mosaic do not lie one above the other. It is damaged")
        direction = 1 if along > 0 else -1
    first = replace(plane, position=plane.position + right + down, direction=direction)
    return [first.moved(k * abs(distance)) for k in range(image.frames)]


def notes_of(image: Image) -> list[str]:
    """Return notes for users on a mosaic; none for any other object."""
    if image.grid == 1:
        return []
    notes = [f"files hold {image.frames} slices each, side by side (Siemens mosaic): unpacked"]
    if _normal(image.dataset) is None:
        notes.append(
            "the private header with the slice normal is not there: slices are taken to be stacked "
            "along the cross product of row and column. Compare the restored scan with another"
        )
    return notes


def kinds_of(dataset: Dataset) -> list[str]:
    """Return the values of *Image Type*."""
    kinds: Any = dataset.get("ImageType") or []
    return [kinds] if isinstance(kinds, str) else [str(kind) for kind in kinds]


def _is_tiled(image: Image, grid: int) -> bool:
    """Return whether pixels are still a mosaic: other tools unpack one and leave its header."""
    matrix: Any = image.dataset.get("AcquisitionMatrix") or []
    sizes = {image.rows, image.columns}
    if any(size // grid in matrix for size in sizes):
        return True
    return KIND in kinds_of(image.dataset) and not any(size in matrix for size in sizes)


def _count(dataset: Dataset) -> int | None:
    """Return the number of slices in a plane, None where it is not stated."""
    times = _private(dataset, *_SLICE_TIMES)
    counts = [
        *_of_csa(dataset, "NumberOfImagesInMosaic"),
        _private(dataset, *_TILE_COUNT),
        len(times) if isinstance(times, Sequence) and not isinstance(times, bytes) else None,
    ]
    for count in counts:
        if isinstance(count, bytes):  # the name of the private block is lost, and its types with it
            count = int.from_bytes(count[:2], "little")
        if isinstance(count, int) and count >= 1:
            return count
    return None


def _normal(dataset: Dataset) -> np.ndarray | None:
    normal = _of_csa(dataset, "SliceNormalVector")
    return np.asarray(normal, np.float64) if len(normal) == 3 else None


def _of_csa(dataset: Dataset, name: str) -> list[Any]:
    """Return a field of the private image header, empty where it is missing or damaged."""
    if (0x0029, 0x0010) not in dataset:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel's other DICOM readers are experimental
        from nibabel.nicom import csareader
    try:
        header: Any = csareader.get_csa_header(dataset)
    except Exception:  # the parser may raise anything on damaged headers
        return []
    return list(header["tags"].get(name, {}).get("items", [])) if header else []


def _private(dataset: Dataset, group: int, creator: str, element: int) -> Any:
    """Return a private value, also where the name of its block is lost."""
    try:
        return dataset.private_block(group, creator)[element].value
    except KeyError:
        found = dataset.get((group, 0x1000 + element))
        return None if found is None else found.value
