"""Real scans take fewer bytes than with the best image codecs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstd import io, lossless
from deepstd.baselines.grey import slices_of
from deepstd.engine.library import engine

pytestmark = pytest.mark.skipif(engine() is None, reason="the engine is not installed")


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("hippocampus-t1/images/hippocampus_037.nii.gz", 0.9),
        ("samples/spinal-cord-t2.nii.gz", 0.93),
        ("chest-xray/images/00000499_008.png", 0.97),
    ],
)
def test_fewer_bytes_than_the_best_peer(name: str, share: float, data_dir: Path) -> None:
    codecs = pytest.importorskip("imagecodecs")
    if not (data_dir / name).is_file():
        pytest.skip(f"needs {name} in {data_dir}")
    voxels = io.read(data_dir / name).voxels
    ranks = np.unique(voxels, return_inverse=True)[1].reshape(voxels.shape)
    parts = list(slices_of(ranks.astype(np.uint8 if ranks.max() < 256 else np.uint16)))
    peers = [
        sum(len(codecs.jpegls_encode(part)) for part in parts),
        sum(len(codecs.jpegxl_encode(part, effort=7, lossless=True)) for part in parts),
        sum(len(codecs.jpegxl_encode(part, effort=9, lossless=True)) for part in parts),
    ]
    payload = lossless.encode(voxels)
    assert len(payload) < share * min(peers)
    assert lossless.decode(payload, voxels.shape, voxels.dtype, name).tobytes() == voxels.tobytes()
