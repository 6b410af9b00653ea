"""Displacement fields as NIfTI files that ITK's programs apply.

    RAS mm from each voxel to a point ─▶ LPS ─▶ 5-D NIfTI, intent "vector" ─▶ file

SimpleITK reads such a file as an image of vectors, and ANTs as a warp: with the field from a fixed
to a moving scan, both resample the moving scan on the fixed scan's grid.
"""

from __future__ import annotations

import numpy as np

from deepstd.errors import GeometryError, UnsupportedFormatError
from deepstd.io.places import location, shown
from deepstd.io.registry import PathLike
from deepstd.io.remote import placed

_SUFFIXES = (".nii", ".nii.gz")
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0], np.float32)


def write_displacement(
    field: np.ndarray, affine: np.ndarray | None, path: PathLike, *, overwrite: bool = False
) -> None:
    """Write a displacement field.

    Args:
        field: float32 (3, *shape) of a 3-D grid, RAS mm.
        affine: (4, 4) voxel-to-world matrix of the grid; None where the world is the voxels.
        path: ends in .nii or .nii.gz; may be a URL.
        overwrite: whether an existing file may be replaced.

    Raises:
        UnsupportedFormatError: another suffix.
        GeometryError: a field of images, for which ITK has no convention in NIfTI.
        OutputExistsError: the file is there and ``overwrite`` is false.
    """
    from nibabel.nifti1 import Nifti1Image

    check_displacement(field.ndim - 1, path)
    image = Nifti1Image(
        np.moveaxis(field * _RAS_TO_LPS.reshape(3, 1, 1, 1), 0, -1)[:, :, :, None],
        np.eye(4) if affine is None else affine,
    )
    image.header.set_intent("vector")
    image.header.set_xyzt_units("mm")
    with placed(location(path), overwrite=overwrite) as temporary:
        image.to_filename(temporary)


def check_displacement(ndim: int, path: PathLike) -> None:
    """Raise as `write_displacement` would, before there is a field."""
    name = shown(location(path))
    if not name.lower().endswith(_SUFFIXES):
        raise UnsupportedFormatError(f"{name}: a displacement field is NIfTI. Name it .nii.gz")
    if ndim != 3:
        raise GeometryError(f"{name}: only fields of 3-D scans can be written; these have {ndim}-D")
