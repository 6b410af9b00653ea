"""Affine + SyN by ANTs (pip install antspyx).

scans ─ ANTs images in LPS ─▶ ants.registration ─▶ places of the fixed grid, displacement field
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import ants
import numpy as np
import pandas as pd
from nibabel import nifti1

from benchmarks.registration.method import AffineStage, Unregistered
from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import AFFINE_BYTES, Warp, grid, packed, transformed


@dataclass(frozen=True)
class Syn:
    """`ants.registration` with its defaults but for where it starts from.

    Its own start, the centres of mass, lays some hippocampus beside the other.

    Attributes:
        start: what it starts from.
        name: in tables.
    """

    start: AffineStage = field(default_factory=Unregistered)
    name: str = "SyN (ANTs)"

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Affine stage and SyN."""
        matrix = self.start.matrix(moving, fixed)
        # ANTs leaves the transforms behind as files.
        with tempfile.TemporaryDirectory() as folder:
            start = f"{folder}/start.mat"
            ants.write_transform(_in_the_world(matrix, moving, fixed), start)
            found = ants.registration(
                ants_image(fixed),
                ants_image(moving),
                type_of_transform="SyN",
                initial_transform=[start],
                outprefix=f"{folder}/",
                random_seed=1,
            )
            transforms = found["fwdtransforms"]
            points = transformed(fixed.lps, grid(fixed.shape).reshape(-1, 3))
            moved = ants.apply_transforms_to_points(
                3,
                pd.DataFrame(points, columns=list("xyz")),
                transforms,
                whichtoinvert=[False] * len(transforms),
            )
            path = next(Path(name) for name in transforms if name.endswith(".nii.gz"))
            displacement = np.asarray(nifti1.load(path).dataobj)[..., 0, :]
        places = np.stack([np.asarray(moved[axis]) for axis in "xyz"], -1)
        coordinates = transformed(np.linalg.inv(moving.lps), places)
        nbytes = AFFINE_BYTES + packed(displacement / np.array(fixed.spacing))
        return Warp(coordinates.reshape(*fixed.shape, 3).astype(np.float32), nbytes)


def _in_the_world(matrix: np.ndarray, moving: Scan, fixed: Scan) -> ants.ANTsTransform:
    world = moving.lps @ matrix @ np.linalg.inv(fixed.lps)
    return ants.new_ants_transform(
        precision="float",
        dimension=3,
        transform_type="AffineTransform",
        parameters=[*world[:3, :3].ravel(), *world[:3, 3]],
    )


def ants_image(scan: Scan) -> ants.ANTsImage:
    """A scan as ANTs has it."""
    affine = scan.lps
    return ants.from_numpy(
        scan.voxels,
        origin=affine[:3, 3].tolist(),
        spacing=list(scan.spacing),
        direction=affine[:3, :3] / np.array(scan.spacing),
    )
