"""Features in numpy and in the engine are those of the version in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.engine import library
from deepstd.texture.entropy import features
from deepstd.texture.entropy.features import blur, log_thresholds, signed_log, subsample, upsample
from deepstd.texture.networks import features as networks

GRIDS = st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple)


def whole(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).normal(0, 500, shape))


def logs_without_engine(x: np.ndarray) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "engine", lambda: None)
        return signed_log(x)


def test_logarithms_are_those_of_torch() -> None:
    units = log_thresholds() * features.LOG_UNIT
    edges = np.concatenate([units + change for change in (-1, 0, 1)])
    x = np.concatenate([edges, -edges, [0.0, -0.0, 1e15, -1e15], whole((500,), 0)])
    wanted = networks.signed_log(torch.from_numpy(x)).numpy()
    assert {wanted.min(), wanted.max()} == {-127, 127}
    found = logs_without_engine(x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    if library.engine() is not None:
        native = signed_log(x)
        assert native.dtype == np.float32
        np.testing.assert_array_equal(native, wanted)


def test_logarithms_of_views_and_of_float32() -> None:
    x = whole((4, 6, 5), 0)
    wanted = networks.signed_log(torch.from_numpy(x)).numpy()
    for compute in (signed_log, logs_without_engine):
        np.testing.assert_array_equal(compute(x.T), wanted.T)
        np.testing.assert_array_equal(compute(x.astype(np.float32)), wanted)


@given(GRIDS, st.integers(1, 2))
def test_blurred_grids_are_those_of_torch(grid: tuple[int, ...], channels: int) -> None:
    x = whole((2, channels, *grid), 0)
    np.testing.assert_array_equal(blur(x), networks.blur(torch.from_numpy(x)).numpy())


@given(st.data(), GRIDS)
def test_resampled_grids_are_those_of_torch(data: st.DataObject, grid: tuple[int, ...]) -> None:
    axes = [axis for axis in range(len(grid)) if data.draw(st.booleans())]
    fine = [2 * n - data.draw(st.integers(0, 1)) if a in axes else n for a, n in enumerate(grid)]
    starts = [data.draw(st.integers(0, n - 1)) for n in fine]
    region = [slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, fine, strict=True)]
    coarse, x = whole((2, 3, *grid), 0), whole((2, 3, *fine), 1)
    np.testing.assert_array_equal(
        upsample(coarse, axes, region),
        networks.upsample(torch.from_numpy(coarse), axes, region).numpy(),
    )
    np.testing.assert_array_equal(
        subsample(x, axes), networks.subsample(torch.from_numpy(x), axes).numpy()
    )
