"""Scans with axes that are not at right angles, as of a tilted gantry, which ITK refuses.

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
# ITK 5.4 opens NIfTI files up to 1e-4 of its own measure, which is within a quarter of this one.
_STRAIGHT_WITHIN = 8e-5


def is_sheared(affine: np.ndarray | None, axes: int) -> bool:
    """Return whether ITK does not take the axes of a scan as right-angled.

    Args:
        affine: voxel-to-world matrix, 4x4, or None.
        axes: number of axes of the scan; a 2-D scan is never sheared.
    """
    return affine is not None and axes > 2 and largest_cosine(affine) > _STRAIGHT_WITHIN


def largest_cosine(affine: np.ndarray, axes: tuple[int, ...] = (0, 1, 2)) -> float:
    """Return the largest cosine between two of the given axes of an affine; 0 where one has no
    length.
    """
    columns = affine[:3, list(axes)]
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all():
        return 0.0
    cosines = np.abs((columns / lengths).T @ (columns / lengths))
    return float((cosines - np.diag(np.diag(cosines))).max())


def is_refused_as_nifti(volume: Volume) -> bool:
    """Return whether ITK refuses the NIfTI file that a scan is restored to.

    Raises:
        InputError: the header is damaged.
    """
    source = volume.source
    if source.format in NIFTI_NAMES and int(header_of(source.raw, source.format)["qform_code"]) > 0:
        return False  # ITK goes by the qform, which has no shear
    return is_sheared(volume.affine, volume.voxels.ndim)


def notes_of_output(volume: Volume, name: str) -> tuple[str, ...]:
    """Return the notes of a restored scan that apply to the output file of this name."""
    others = tuple(note for note in volume.notes if note != SHEARED)
    as_nifti = name.lower().endswith(nifti.SUFFIXES)
    sheared = as_nifti and is_refused_as_nifti(volume)
    return (*others, SHEARED) if sheared else others
