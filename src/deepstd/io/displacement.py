"""Displacement fields as NIfTI files for programs based on ITK.

    RAS mm from each voxel to a point ─▶ LPS ─▶ 5-D NIfTI, intent "vector" ─▶ file

SimpleITK reads such a file as an image of vectors, and ANTs as a warp. A field from a fixed to a
moving scan resamples the moving scan on the fixed scan's grid.
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
    """Open an output for a displacement field and yield the function that writes the field.

    The output is checked before the field is computed. The function takes the field, float32 (3,
    *shape) in RAS mm, and the affine of its grid. The affine is the 4x4 voxel-to-world matrix, or
    None for the identity.

    Args:
        path: ends in .nii or .nii.gz; may be a URL.
        overwrite: whether an existing file may be replaced.

    Raises:
        UnsupportedFormatError: the suffix is another one.
        GeometryError: on writing, a field of 2-D images: ITK has no NIfTI convention for it.
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
    """Raise an error where ``path`` cannot hold a displacement field of ``axes`` axes.

    Raises:
        UnsupportedFormatError: the suffix is neither .nii nor .nii.gz.
        GeometryError: ``axes`` is not 3: ITK has no NIfTI convention for fields of 2-D images.
    """
    name = shown(location(path))
    if not name.lower().endswith(_SUFFIXES):
        raise UnsupportedFormatError(f"{name}: a displacement field is NIfTI. Name it .nii.gz")
    if axes != 3:
        raise GeometryError(f"{name}: only fields of 3-D scans can be written; these have {axes}-D")
