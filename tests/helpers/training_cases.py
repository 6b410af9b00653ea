"""Compressed scans with label maps, for the tests of several loaders."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

import deepstd

AFFINE = np.array([[-0.9, 0, 0, 11], [0, 0.9, 0, -7], [0, 0, 2.0, 5], [0, 0, 0, 1.0]])
Cases = list[dict[str, Path]]


def restored(path: Path) -> np.ndarray:
    """Real-world values as nibabel reads the restored NIfTI."""
    output = path.with_suffix(".again.nii.gz")
    deepstd.decompress(path, output, overwrite=True)
    return nibabel.Nifti1Image.from_filename(output).get_fdata()
