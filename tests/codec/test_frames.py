"""Values of frames for computations that know no scale."""

from __future__ import annotations

import numpy as np
import pytest

from deepstd.codec.backgrounds import take_out
from deepstd.codec.frames import as_single


@pytest.mark.parametrize("scale", [1.0, 1e20, 1e39, 1e300])
def test_single_precision_holds_any_float(scale: float) -> None:
    values = np.linspace(-1.0, 2.0, 24).reshape(4, 6) * scale
    found = as_single(values)
    assert found.dtype == np.float32
    assert np.isfinite(np.square(found).sum())
    np.testing.assert_allclose(found / found.max(), values / values.max(), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["i2", "u4", "f4"])
def test_usual_values_stay_as_they_are(dtype: str) -> None:
    values = np.arange(20).reshape(4, 5).astype(dtype)
    np.testing.assert_array_equal(as_single(values), values.astype(np.float32))


@pytest.mark.parametrize(("dtype", "shared"), [("i2", True), (">u2", True), ("i4", False)])
def test_short_integers_without_special_values_are_not_copied(dtype: str, shared: bool) -> None:
    voxels = np.random.default_rng(0).integers(0, 9000, (20, 21, 22)).astype(dtype)
    (values, specials), *_ = take_out([voxels], 4000).frames
    assert specials is None
    assert np.shares_memory(values, voxels) is shared
    np.testing.assert_array_equal(values, voxels)
