"""The engine and the reference in Python give the same bytes, and read each other's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from instructions import limited

from deepstd import io, lossless
from deepstd.engine.library import engine
from deepstd.lossless import native, payload, reference

needs_engine = pytest.mark.skipif(engine() is None, reason="the engine is not installed")


def assert_same_bytes(levels: np.ndarray, period: int = 0) -> None:
    levels = np.ascontiguousarray(levels, np.int32)
    most = int(levels.max())
    stream = reference.encode_slab(levels, period, most)
    assert [stream] == native.encode_slabs(engine(), [levels.copy()], period, most)
    found, also = np.zeros_like(levels), np.zeros_like(levels)
    native.decode_slabs(engine(), [stream], [found], period, most)
    reference.decode_slab(stream, also, period, most)
    np.testing.assert_array_equal(found, levels)
    np.testing.assert_array_equal(also, levels)


@needs_engine
@settings(max_examples=25)
@given(
    arrays.array_shapes(min_dims=3, max_dims=3, max_side=9),
    st.sampled_from([2, 5, 300, 1 << 16, 1 << 24]),
    st.integers(0, 2),
    st.integers(0, 99),
)
def test_same_bytes_of_random_levels(
    shape: tuple[int, ...], values: int, smoothing: int, seed: int
) -> None:
    levels = np.random.default_rng(seed).integers(0, values, shape).astype(np.float64)
    for axis in range(smoothing):
        levels = (levels + np.roll(levels, 1, axis)) / 2
    assert_same_bytes(levels)


@needs_engine
@pytest.mark.parametrize("period", [0, 2, 3])
def test_same_bytes_of_a_phantom(period: int, phantom: Callable[..., np.ndarray]) -> None:
    assert_same_bytes(phantom((6, 17, 19)), period)


@needs_engine
@pytest.mark.parametrize(
    ("name", "crop"),
    [
        ("chest-xray/images/00000499_008.png", np.s_[200:230, 200:240]),
        ("hippocampus-t1/images/hippocampus_037.nii.gz", np.s_[5:30, 10:30, 8:11]),
        ("headneck-ct/images", np.s_[20:50, 10:40, 30:33]),
    ],
)
def test_same_bytes_of_real_scans(
    name: str, crop: tuple[slice, ...], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data_dir / name
    if path.is_dir():
        path = min(path.iterdir())
    if not path.is_file():
        pytest.skip(f"needs {path}")
    voxels = io.read(path).voxels[crop]
    made = lossless.encode(voxels)
    monkeypatch.setattr(payload, "engine", lambda: None)
    assert lossless.encode(voxels) == made
    found = lossless.decode(made, voxels.shape, voxels.dtype, "scan")
    assert found.tobytes() == voxels.tobytes()


@needs_engine
def test_all_instruction_sets_give_the_same_bytes(phantom: Callable[..., np.ndarray]) -> None:
    library = engine()
    levels = np.ascontiguousarray(phantom((5, 30, 30)), np.int32)

    with limited("plain"):
        plain = native.encode_slabs(library, [levels], 0, 255)
    assert plain == native.encode_slabs(library, [levels], 0, 255)
