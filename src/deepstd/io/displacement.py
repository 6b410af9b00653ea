"""Displacement fields as NIfTI files that ITK's programs apply.

    RAS mm from each voxel to a point ─▶ LPS ─▶ 5-D NIfTI, intent "vector" ─▶ file

SimpleITK reads such a file as an image of vectors, and ANTs as a warp: with the field from a fixed
to a moving scan, both resample the moving scan on the fixed scan's grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from deepstd.errors import GeometryError, InputError, UnsupportedFormatError
from deepstd.io.locations import location, shown
from deepstd.io.registry import PathLike
from deepstd.io.remote import placed

_SUFFIXES = (".nii", ".nii.gz")
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0], np.float32)


@contextmanager
def displacement_writer(
    path: PathLike, *, overwrite: bool = False
) -> Iterator[Callable[[np.ndarray, np.ndarray | None], None]]:
    """Take the place that a displacement field will have, before there is one.

    Yields what writes it, which has to be called with the field and the affine of its grid: float32
    (3, *shape), RAS mm; and the (4, 4) voxel-to-world matrix, None where the world is the voxels.

    Args:
        path: ends in .nii or .nii.gz; may be a URL.
        overwrite: whether an existing file may be replaced.

    Raises:
        UnsupportedFormatError: another suffix.
        GeometryError: on writing: a field of images, for which ITK has no convention in NIfTI.
        OutputExistsError: the file is there and ``overwrite`` is false.
        InputError: the file cannot be written.
    """
    from nibabel.nifti1 import Nifti1Image

    check_displacement(3, path)

    def put(field: np.ndarray, affine: np.ndarray | None) -> None:
        check_displacement(field.ndim - 1, path)
        image = Nifti1Image(
            np.moveaxis(field * _RAS_TO_LPS.reshape(3, 1, 1, 1), 0, -1)[:, :, :, None],
            np.eye(4) if affine is None else affine,
        )
        image.header.set_intent("vector")
        image.header.set_xyzt_units("mm")
        try:
            image.to_filename(temporary)
        except OSError as error:
            name = shown(location(path))
            raise InputError(f"{name}: cannot be written ({error.strerror or error})") from error

    with placed(location(path), overwrite=overwrite) as temporary:
        yield put


def check_displacement(axes: int, path: PathLike) -> None:
    """Raise as `displacement_writer` would, before there is a field of so many axes."""
    name = shown(location(path))
    if not name.lower().endswith(_SUFFIXES):
        raise UnsupportedFormatError(f"{name}: a displacement field is NIfTI. Name it .nii.gz")
    if axes != 3:
        raise GeometryError(f"{name}: only fields of 3-D scans can be written; these have {axes}-D")
