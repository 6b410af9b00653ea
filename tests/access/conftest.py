"""Files that are read in parts, and the bundles that decode them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import deepstd
from deepstd import bundle
from deepstd.codec.codec import Codec
from deepstd.devices import CPU
from deepstd.texture.filters.postfilter import restore
from deepstd.texture.tiling import TileEdges
from tests.golden.record import FOLDER, unpacked

Compressed = Callable[..., Path]


@pytest.fixture(scope="session")
def golden_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of the small bundles of the golden files, by the bundle's digest."""
    folder = tmp_path_factory.mktemp("golden")
    found = [unpacked(path.stem, folder) for path in (FOLDER / "bundles").glob("*.zip")]
    return {bundle.load(one).reference.digest.hex(): str(one) for one in found}


@pytest.fixture
def compressed(tmp_path: Path, tiny_bundle: Path) -> Compressed:
    """compressed(voxels, affine, bpv): the file of a scan, coded with the tiny bundle."""

    def make(voxels: np.ndarray, affine: np.ndarray | None = None, *, bpv: float = 2) -> Path:
        path = tmp_path / "scan.dstd"
        codec = Codec.load(str(tiny_bundle), device="cpu")
        path.write_bytes(codec.compress(deepstd.Volume(voxels, affine), bpv=bpv, effort="fast"))
        return path

    return make


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16 pixels or 8 voxels of the finest level, so that small scans have many."""

    def small(ndim: int) -> int:
        return 8 if ndim == 3 else 16

    for module in ("tiling", "wavelet.check", "wavelet.opened"):
        monkeypatch.setattr(f"deepstd.texture.{module}.tile_size", small)
    edges = TileEdges(32, 16)
    monkeypatch.setattr("deepstd.texture.wavelet.opened.FILTER_TILES", edges)
    monkeypatch.setattr(restore, "__defaults__", (CPU, edges))
