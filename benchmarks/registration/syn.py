"""Affine + SyN by ANTs (pip install antspyx).

scans ─ ANTs images in LPS ─▶ ants.registration ─▶ places of the fixed grid, displacement field
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import ants
import nibabel
import numpy as np

from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import AFFINE_BYTES, Warp, grid, packed, transformed


@dataclass(frozen=True)
class Syn:
    """`ants.registration` with one of its presets and otherwise its defaults.

    Attributes:
        preset: "SyN" is affine + SyN by mutual information; "SyNCC" by local correlation.
        name: in tables.
    """

    preset: str = "SyN"
    name: str = "SyN (ANTs)"

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Both stages."""
        # ANTs leaves the transforms behind as files.
        with tempfile.TemporaryDirectory() as folder:
            found = ants.registration(
                _image(fixed),
                _image(moving),
                type_of_transform=self.preset,
                outprefix=f"{folder}/",
                random_seed=1,
            )
            transforms = found["fwdtransforms"]
            points = transformed(fixed.lps, grid(fixed.shape).reshape(-1, 3))
            moved = ants.apply_transforms_to_points(
                3, _points(points), transforms, whichtoinvert=[False] * len(transforms)
            )
            field = next(Path(path) for path in transforms if path.endswith(".nii.gz"))
            displacement = np.asarray(nibabel.nifti1.load(field).dataobj)[..., 0, :]
        places = np.stack([np.asarray(moved[axis]) for axis in "xyz"], -1)
        coordinates = transformed(np.linalg.inv(moving.lps), places)
        nbytes = AFFINE_BYTES + packed(displacement / np.array(fixed.spacing))
        return Warp(coordinates.reshape(*fixed.shape, 3).astype(np.float32), nbytes)


def _points(points: np.ndarray) -> object:
    import pandas as pd

    return pd.DataFrame(points, columns=["x", "y", "z"])


def _image(scan: Scan) -> ants.ANTsImage:
    affine = scan.lps
    return ants.from_numpy(
        scan.voxels,
        origin=affine[:3, 3].tolist(),
        spacing=list(scan.spacing),
        direction=affine[:3, :3] / np.array(scan.spacing),
    )
