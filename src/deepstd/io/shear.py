"""Scans whose axes are not at right angles, as of a tilted gantry, and who cannot open them.

affine ─ cosines between its axes ─▶ sheared? ─▶ note to the user
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deepstd.io import nifti
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


def with_shear_told(volume: Volume) -> Volume:
    """Return a scan with a note where it is sheared."""
    if not is_sheared(volume.affine, volume.voxels.ndim) or SHEARED in volume.notes:
        return volume
    return replace(volume, notes=(*volume.notes, SHEARED))


def notes_of_output(volume: Volume, name: str) -> tuple[str, ...]:
    """Return the notes of a restored scan that hold for the output of a name."""
    others = tuple(note for note in volume.notes if note != SHEARED)
    as_nifti = name.lower().endswith(nifti.SUFFIXES)
    sheared = as_nifti and is_sheared(volume.affine, volume.voxels.ndim)
    return (*others, SHEARED) if sheared else others
