"""Bundles of the repository that the package does not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstd import bundle
from deepstd.codec.codec import Codec
from deepstd.train.config import TrainConfig
from deepstd.volume import Volume

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in ROOT.glob("bundles/*/bundle.json"))


def test_there_are_some() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_bundle_beside_the_package_is_whole_and_compresses(folder: Path) -> None:
    found = bundle.load(folder)  # compares every file with its hash
    described = TrainConfig.read(ROOT / "configs" / f"{folder.name}.toml")
    assert (found.manifest.name, found.manifest.version) == (described.name, described.version)
    assert found.manifest.name not in {path.name for path in bundle.available()}
    codec = Codec.load(str(folder), device="cpu")
    shape_model = codec.model.shape_model
    assert shape_model is not None
    template = shape_model.template[::3, ::3, ::3]
    affine = shape_model.affine @ np.diag([3.0, 3.0, 3.0, 1.0])
    voxels = (template.astype(np.int16) - 1024).clip(-1000, 900)
    data = codec.compress(Volume(voxels, affine), ratio=16, effort="fast")
    restored = codec.decompress(data).voxels
    assert restored.shape == voxels.shape
    assert np.abs(restored.astype(float) - voxels).mean() < 0.2 * voxels.std()
