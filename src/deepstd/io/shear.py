"""Scans whose axes are not at right angles, as of a tilted gantry, and who cannot open them.

affine ─ cosines between its axes ─▶ sheared? ─▶ note to the user
"""

from __future__ import annotations

import numpy as np

from deepstd.io import nifti
from deepstd.io.nifti_header import NAMES as NIFTI_NAMES
from deepstd.io.nifti_header import header_of
from deepstd.volume import Volume

SHEARED = (
    "its axes are not at right angles: as NIfTI, SimpleITK, ANTs and nnU-Net refuse it or ignore "
    "the shear. Restore it to .nrrd or .mha, or with --straighten"
)
# ITK 5.4 opens NIfTI files up to 1e-4, by a measure of its own that is within a quarter of this.
_STRAIGHT_WITHIN = 8e-5


def is_sheared(affine: np.ndarray | None, axes: int) -> bool:
    """Return whether ITK takes the axes of a scan for no right-angled ones.

    Args:
        affine: 4x4 voxel-to-world matrix, or None.
        axes: of the scan; with two it has no slices to be tilted.
    """
    return affine is not None and axes > 2 and largest_cosine(affine) > _STRAIGHT_WITHIN


def largest_cosine(affine: np.ndarray, axes: tuple[int, ...] = (0, 1, 2)) -> float:
    """Return the largest cosine between two of some axes of an affine; 0 where one is singular."""
    columns = affine[:3, list(axes)]
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all():
        return 0.0
    cosines = np.abs((columns / lengths).T @ (columns / lengths))
    return float((cosines - np.diag(np.diag(cosines))).max())


def is_refused_as_nifti(volume: Volume) -> bool:
    """Return whether ITK refuses the NIfTI file that a scan is restored to.

    Raises:
        InputError: the scan's header is damaged.
    """
    source = volume.source
    if source.format in NIFTI_NAMES and int(header_of(source.raw, source.format)["qform_code"]) > 0:
        return False  # ITK goes by the qform, which has no shear
    return is_sheared(volume.affine, volume.voxels.ndim)


def notes_of_output(volume: Volume, name: str) -> tuple[str, ...]:
    """Return the notes of a restored scan that hold for the output of a name."""
    others = tuple(note for note in volume.notes if note != SHEARED)
    as_nifti = name.lower().endswith(nifti.SUFFIXES)
    sheared = as_nifti and is_refused_as_nifti(volume)
    return (*others, SHEARED) if sheared else others
