"""Files are the same to the byte whether the engine or the reference codes them."""

from __future__ import annotations

import numpy as np
import pytest
from textures import smooth

from deepstd.codec.codec import Codec
from deepstd.engine import library
from deepstd.volume import Volume

pytestmark = pytest.mark.skipif(
    library.engine() is None, reason="the native engine is not built here"
)


def coded(codec: Codec, volume: Volume) -> tuple[bytes, np.ndarray]:
    data = codec.compress(volume, bpv=0.8, effort="fast")
    return data, codec.decompress(data).voxels


@pytest.mark.parametrize(
    ("bundle", "shape"),
    [
        ("generic", (45, 38)),
        ("generic", (24, 21, 26)),
        ("generic", (40, 44, 9)),
        ("hippocampus-t1", (22, 30, 20)),
    ],
)
def test_files_and_voxels_are_the_reference_s(
    bundle: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    affine = np.diag([1.0, 1.0, 5.0 if shape[-1] == 9 else 1.0, 1.0])
    volume = Volume(smooth(shape).astype(np.int16), affine)
    codec = Codec.load(bundle, device="cpu")
    with_engine = coded(codec, volume)
    monkeypatch.setenv(library.DISABLED, "1")
    library.engine.cache_clear()
    try:
        assert library.engine() is None
        without = coded(codec, volume)
        again = codec.decompress(with_engine[0]).voxels
    finally:
        monkeypatch.undo()
        library.engine.cache_clear()
    assert with_engine[0] == without[0]
    assert np.array_equal(with_engine[1], without[1])
    assert np.array_equal(with_engine[1], again)
