"""Compressed scans with label maps, for the loaders of several packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from training_cases import AFFINE, Cases

import deepstd


@pytest.fixture
def cases(tmp_path: Path, phantom: Callable[..., np.ndarray], only_tiny: Path) -> Cases:
    """Two lossy CT-like scans with slope and intercept, and their exact label maps."""
    found: Cases = []
    for number, shape in enumerate([(36, 34, 20), (32, 40, 22)]):
        values = phantom(shape, "int16", seed=number)
        image = nibabel.Nifti1Image(values, AFFINE)
        image.header.set_slope_inter(2, -1000)
        nibabel.save(image, tmp_path / f"{number}.nii.gz")
        deepstd.compress(
            tmp_path / f"{number}.nii.gz", tmp_path / f"{number}.dstd", ratio=8, model="tiny"
        )
        labels = nibabel.Nifti1Image((values > 120).astype(np.uint8), AFFINE)
        nibabel.save(labels, tmp_path / f"{number}_seg.nii.gz")
        deepstd.compress(
            tmp_path / f"{number}_seg.nii.gz", tmp_path / f"{number}_seg.dstd", lossless=True
        )
        found.append(
            {"image": tmp_path / f"{number}.dstd", "label": tmp_path / f"{number}_seg.dstd"}
        )
    return found
