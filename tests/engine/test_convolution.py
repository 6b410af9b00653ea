"""Convolutions of the engine are exact, with every set of instructions and number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.engine.convolution import Layer, Rows, convolve, empty_grid, tap_offsets
from deepstd.engine.library import engine

pytestmark = pytest.mark.skipif(engine() is None, reason="the native engine is not built here")
LIMITS = (-300, 900)


def expected(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, shift: int, extra: np.ndarray
) -> np.ndarray:
    """Sums in 64 bits, tap by tap, of a padded 2-D grid."""
    height, width = x.shape[0] - 2, x.shape[1] - 2
    total = np.zeros((height, width, len(weight)), np.int64) + bias
    for i in range(3):
        for j in range(3):
            part = x[i : i + height, j : j + width, : weight.shape[1]].astype(np.int64)
            total += part @ weight[:, :, i, j].T.astype(np.int64)
    shifted = np.clip((total + ((1 << shift) >> 1)) >> shift, -8191, 8191)
    return np.clip(shifted + extra + x[1:-1, 1:-1, : len(weight)], *LIMITS)


def convolved(
    x: np.ndarray, layer: Layer, extra: np.ndarray, *, threads: int, instructions: int
) -> np.ndarray:
    """The engine's result; the input is its own residual."""
    height, width, channels = x.shape[0] - 2, x.shape[1] - 2, x.shape[2]
    rows = np.arange(height, dtype=np.int64)
    out = empty_grid((height, width), layer.outputs)
    convolve(
        engine(),
        layer,
        Rows(x, rows * (width + 2) * channels, channels),
        tap_offsets((3, 3), x.shape[:-1], channels),
        np.full(height, width, np.int32),
        Rows(out, rows * width * layer.outputs, layer.outputs),
        extra=extra,
        residual=Rows(x, ((rows + 1) * (width + 2) + 1) * channels, channels),
        limits=LIMITS,
        threads=threads,
        instructions=instructions,
    )
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_sums_are_those_of_64_bits(seed: int, shift: int) -> None:
    random = np.random.default_rng(seed)
    outputs, inputs, height, width = random.integers(1, [100, 100, 12, 30]).tolist()
    channels = 2 * ((max(inputs, outputs) + 1) // 2)
    x = empty_grid((height + 2, width + 2), channels)
    x[:] = random.integers(-1023, 1024, x.shape)
    weight = random.integers(-20, 21, (outputs, channels, 3, 3))
    bias = random.integers(-5000, 5000, outputs)
    extra = random.integers(-900, 900, outputs).astype(np.int32)
    layer = Layer.packed(weight, bias, shift)
    for instructions in (0, 1, 2):
        out = convolved(x, layer, extra, threads=1, instructions=instructions)
        assert np.array_equal(out, expected(x, weight, bias, shift, extra))


def test_threads_share_rows_and_change_nothing() -> None:
    random = np.random.default_rng(0)
    x = empty_grid((82, 72), 32)
    x[:] = random.integers(-1023, 1024, x.shape)
    weight, bias = random.integers(-20, 21, (32, 32, 3, 3)), np.zeros(32, int)
    layer, extra = Layer.packed(weight, bias, 6), np.zeros(32, np.int32)
    one, three = (convolved(x, layer, extra, threads=n, instructions=-1) for n in (1, 3))
    assert np.array_equal(one, three)
    assert np.array_equal(one, expected(x, weight, bias, 6, extra))
