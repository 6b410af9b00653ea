"""Statistics of validation scans that a training writes beside its bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from deepstd import bundle as bundles
from deepstd.bundle.familiarity import NAME, load_familiarity
from deepstd.train.cache import CachedScan
from deepstd.train.familiar import write_familiarity


def scan(number: int, split: str) -> CachedScan:
    random = np.random.default_rng(number)
    grid = np.add.outer(np.arange(48), np.arange(40))
    voxels = (100 * np.sin(grid / 9) + random.normal(0, 5, grid.shape)).astype(np.float32)
    return CachedScan(f"scan{number}", f"patient{number}", split, voxels, None)


def test_statistics_are_those_of_validation_scans(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundles.find("generic"), copy)
    (copy / NAME).unlink()
    bundle = bundles.load(copy)
    scans = [scan(n, "validation" if n < 5 else "train") for n in range(8)]
    assert write_familiarity(bundle, scans) == 5
    found = load_familiarity(copy)
    assert found is not None
    assert set(found.bits) == {"2"}
    assert {one.bits.scans for one in found.bits["2"]} == {5}
    means = [one.bits.mean for one in found.bits["2"]]
    assert means == sorted(means)  # a finer step costs more bits
    assert bundles.load(copy).digest == bundle.digest
