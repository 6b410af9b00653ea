"""Files of the fastMRI data set: reconstructions, or k-space, with an ISMRMRD header.

    file ─ layout_of ─▶ reconstruction_rss, reconstruction_esc or kspace, pixel size ─▶ Layout
    reconstruction (slice, row, column) ────────────────────────────────────┐
    kspace (slice[, coil], row, column) ─ reconstructed, slice by slice ────┴▶ Volume

The row is the readout direction x of the ISMRMRD header, the column its direction y. Voxels have
shape (column, row, slice). The file states no position in the patient: the scan lies along the
axes from the origin, as a stack of pictures does. It comes back as NIfTI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import hdf5, scaled
from deepstd.volume import Volume

HEADER = "ismrmrd_header"
KSPACE = "kspace"
IMAGES = ("reconstruction_rss", "reconstruction_esc")  # in the order in which they are taken
_MASK = "mask"
_MOST_HEADER_BYTES = 1 << 20  # 1 MiB
_SAME = 1e-2  # relative difference of pixel sizes that count as equal


@dataclass(frozen=True)
class _Space:
    """Matrix and field of view in mm along x, y and z."""

    matrix: tuple[float, float, float]
    view: tuple[float, float, float]

    @property
    def sizes(self) -> tuple[float, float, float]:
        """Size of a voxel along x, y and z in mm."""
        x, y, z = (view / count for view, count in zip(self.view, self.matrix, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Layout:
    """A scan in a fastMRI file.

    Attributes:
        name: name of its dataset.
        dataset: images (slice, row, column), or k-space (slice[, coil], row, column).
        shape: (column, row, slice).
        dtype: type of the voxels.
        sizes: voxel size in mm along column, row and slice; None where it is not known.
        notes: sentences for users.
    """

    name: str
    dataset: Any
    shape: tuple[int, int, int]
    dtype: np.dtype
    sizes: tuple[float, float, float] | None
    notes: tuple[str, ...]


def layout_of(file: Any, asked: str = "") -> Layout | None:
    """Return the scan of a fastMRI file, or None where a file is of another kind.

    Args:
        file: an opened HDF5 file.
        asked: name of the dataset to read; empty for the first of `IMAGES`, then k-space.

    Raises:
        UnsupportedFormatError: values that lie in other files, or no images.
        InputError: header or values are damaged.
    """
    asked = asked.strip("/")
    if hdf5.find(file, HEADER) is None or asked not in ("", *IMAGES, KSPACE):
        return None
    there = [name for name in (*IMAGES, KSPACE) if hdf5.find(file, name) is not None]
    name = asked or next(iter(there), "")
    if name not in there:
        return None
    dataset = hdf5.find(file, name)
    if not hasattr(dataset, "dtype"):
        return None
    spaces = _spaces(_text(file))
    others = [f"::{one}" for one in there if one != name]
    notes = (f"{name} of a fastMRI file: comes back as NIfTI. Not kept: its other arrays",)
    if others:
        notes += (f"other scans of its file: {', '.join(others)}",)
    if name == KSPACE:
        made = _of_kspace(dataset, spaces)
        undersampled = hdf5.find(file, _MASK) is not None
    else:
        made = _of_images(name, dataset, spaces)
        undersampled = False
    if made.sizes is None:
        notes += ("its header does not tell the voxel size of these images",)
    else:
        notes += ("distance of slices by their thickness: gaps between them are not known",)
    if undersampled:
        notes += ("its k-space is undersampled (mask): the images have aliases",)
    hdf5.check_stored(dataset)
    return Layout(name, dataset, made.shape, made.dtype, made.sizes, (*notes, *made.notes))


def read(layout: Layout) -> Volume:
    """Return the scan of a layout, while its file is open.

    Raises:
        InputError: the values are damaged.
    """
    if layout.name == KSPACE:
        columns, rows, slices = layout.shape
        images = np.empty((slices, rows, columns), layout.dtype)
        for number in range(slices):  # k-space of all coils is large
            images[number] = reconstructed(hdf5.values(layout.dataset, number), (rows, columns))
    else:
        images = hdf5.values(layout.dataset)
    voxels = images.transpose(2, 1, 0)
    if layout.sizes is None:
        return Volume(voxels, notes=layout.notes)
    columns, rows, slices = layout.sizes
    return scaled.volume_of(voxels, np.diag([-columns, -rows, slices, 1.0]), notes=layout.notes)


def reconstructed(kspace: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the image of one slice: root sum of squares of the coils, cropped about the centre.

    Args:
        kspace: complex values ([coil,] row, column), their centre in the middle.
        size: rows and columns of the image, at most those of k-space.
    """
    shifted = np.fft.ifftshift(kspace, axes=(-2, -1))
    coils = np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=(-2, -1))
    top, left = ((have - want) // 2 for have, want in zip(coils.shape[-2:], size, strict=True))
    coils = coils[..., top : top + size[0], left : left + size[1]]
    if coils.ndim == 2:
        return np.abs(coils)
    return np.sqrt(np.sum(coils.real**2 + coils.imag**2, axis=0))


def _of_images(name: str, dataset: Any, spaces: tuple[_Space, _Space] | None) -> Layout:
    shape = hdf5.shape_of(dataset)
    if len(shape) != 3 or 0 in shape or dataset.dtype.kind not in "iuf":
        raise UnsupportedFormatError(
            f"{name} of shape {shape} and type {dataset.dtype} is not supported: expected images "
            "(slice, row, column) of one number a pixel"
        )
    slices, rows, columns = shape
    sizes = None
    if spaces is not None:
        encoded, image = spaces
        sizes = image.sizes if (rows, columns) == image.matrix[:2] else _agreed(encoded, image)
    turned = None if sizes is None else (sizes[1], sizes[0], sizes[2])
    return Layout(name, dataset, (columns, rows, slices), _native(dataset.dtype), turned, ())


def _of_kspace(dataset: Any, spaces: tuple[_Space, _Space] | None) -> Layout:
    shape = hdf5.shape_of(dataset)
    if len(shape) not in (3, 4) or 0 in shape or dataset.dtype.kind != "c":
        raise UnsupportedFormatError(
            f"k-space of shape {shape} and type {dataset.dtype} is not supported: expected complex "
            "values (slice[, coil], row, column)"
        )
    rows, columns = shape[-2:]
    sizes, size = None, (rows, columns)
    if spaces is not None:
        encoded, image = spaces
        sizes = encoded.sizes if (rows, columns) == encoded.matrix[:2] else _agreed(encoded, image)
        wanted_rows, wanted_columns = (int(count) for count in image.matrix[:2])
        size = min(rows, wanted_rows), min(columns, wanted_columns)
    dtype = np.dtype("f8" if dataset.dtype.itemsize > 8 else "f4")
    coils = "" if len(shape) == 3 else f" of {shape[1]} coils"
    note = f"made from k-space{coils} (root sum of squares); k-space itself is not kept"
    turned = None if sizes is None else (sizes[1], sizes[0], sizes[2])
    return Layout(KSPACE, dataset, (size[1], size[0], shape[0]), dtype, turned, (note,))


def _native(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("=")


def _agreed(one: _Space, other: _Space) -> tuple[float, float, float] | None:
    """Return the voxel size of two spaces where it is the same: a crop keeps it."""
    pairs = zip(one.sizes, other.sizes, strict=True)
    same = all(math.isclose(a, b, rel_tol=_SAME) for a, b in pairs)
    return one.sizes if same else None


def _text(file: Any) -> str:
    dataset: Any = hdf5.find(file, HEADER)
    if not hasattr(dataset, "dtype") or dataset.shape not in ((), (1,)):
        raise InputError(f"its {HEADER} is no text. It is damaged")
    value = np.ravel(dataset[()])[0]
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    if len(text) > _MOST_HEADER_BYTES:
        raise InputError(f"its {HEADER} has {len(text)} characters. It is damaged")
    return text


def _spaces(text: str) -> tuple[_Space, _Space] | None:
    """Return the encoded and the image space of an ISMRMRD header; None where it states none.

    Raises:
        InputError: the header is no XML of its kind.
    """
    if "<!" in text.replace("<!--", ""):  # entities may expand without end
        raise InputError(f"its {HEADER} declares a document type. It is no ISMRMRD header")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise InputError(f"its {HEADER} is no XML ({error}). It is damaged") from error
    encoding = next((one for one in root.iter() if _tag(one) == "encoding"), None)
    if encoding is None:
        return None
    spaces = [_space(encoding, name) for name in ("encodedSpace", "reconSpace")]
    encoded, image = spaces
    return None if encoded is None or image is None else (encoded, image)


def _space(encoding: ElementTree.Element, name: str) -> _Space | None:
    space = next((one for one in encoding if _tag(one) == name), None)
    if space is None:
        return None
    found = [_along_axes(space, part) for part in ("matrixSize", "fieldOfView_mm")]
    matrix, view = found
    return None if matrix is None or view is None else _Space(matrix, view)


def _along_axes(space: ElementTree.Element, name: str) -> tuple[float, float, float] | None:
    part = next((one for one in space if _tag(one) == name), None)
    if part is None:
        return None
    told = {_tag(one): one.text or "" for one in part}
    try:
        x, y, z = (float(told[axis]) for axis in "xyz")
    except (KeyError, ValueError):
        return None
    return (x, y, z) if all(math.isfinite(v) and 0 < v < 1e6 for v in (x, y, z)) else None


def _tag(element: ElementTree.Element) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]
