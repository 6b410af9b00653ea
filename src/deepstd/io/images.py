"""Scans as images of other libraries, equal to what reading a written file gives.

Volume ─ .nii file ─▶ image of nibabel
Volume ─ voxels in real-world values, geometry ─▶ image of SimpleITK
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepstd.io import itk, itk_geometry
from deepstd.io.registry import without_padding, write
from deepstd.volume import Volume

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_NIFTI2_HEADER = (540).to_bytes(4, "little"), (540).to_bytes(4, "big")


def nibabel_image(volume: Volume) -> Nifti1Image:
    """Return a scan as an image of nibabel, which holds its voxels in memory.

    Raises:
        UnsupportedFormatError: NIfTI cannot hold such a scan.
    """
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image

    with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
        path = Path(folder, "scan.nii")
        write(volume, path)
        data = path.read_bytes()
    return (Nifti2Image if data[:4] in _NIFTI2_HEADER else Nifti1Image).from_bytes(data)


def sitk_image(volume: Volume) -> Any:
    """Return a scan as an image of SimpleITK, in real-world values.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        GeometryError: the affine is singular.
    """
    return itk.image_of(without_padding(volume), itk_geometry.NRRD)[0]
