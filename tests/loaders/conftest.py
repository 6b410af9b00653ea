"""Compressed scans with label maps, for the loaders of several packages."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from training_cases import AFFINE, Cases

import deepstd


@pytest.fixture(scope="session")
def compressed(
    tmp_path_factory: pytest.TempPathFactory, phantom: Callable[..., np.ndarray], tiny_bundle: Path
) -> Path:
    """Folder of two lossy CT-like scans with slope and intercept, and their exact label maps."""
    folder, scans = tmp_path_factory.mktemp("compressed"), tmp_path_factory.mktemp("scans")
    for number, shape in enumerate([(36, 34, 20), (32, 40, 22)]):
        values = phantom(shape, "int16", seed=number)
        image = nibabel.Nifti1Image(values, AFFINE)
        image.header.set_slope_inter(2, -1000)
        nibabel.save(image, scans / f"{number}.nii.gz")
        labels = nibabel.Nifti1Image((values > 120).astype(np.uint8), AFFINE)
        nibabel.save(labels, scans / f"{number}_seg.nii.gz")
        deepstd.compress(
            scans / f"{number}.nii.gz",
            folder / f"{number}.dstd",
            ratio=8,
            model=str(tiny_bundle),
            effort="fast",
        )
        deepstd.compress(
            scans / f"{number}_seg.nii.gz", folder / f"{number}_seg.dstd", lossless=True
        )
    return folder


@pytest.fixture
def cases(tmp_path: Path, compressed: Path, only_tiny: Path) -> Cases:
    """Paths of a copy of the two cases, by name."""
    for path in compressed.iterdir():
        shutil.copy(path, tmp_path)
    return [
        {"image": tmp_path / f"{number}.dstd", "label": tmp_path / f"{number}_seg.dstd"}
        for number in range(2)
    ]
