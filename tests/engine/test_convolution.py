"""Convolutions of the engine are exact, with every set of instructions."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instructions import limited

from deepstd.engine.convolution import Layer
from deepstd.engine.library import LIMITS, address, engine

pytestmark = pytest.mark.skipif(engine() is None, reason="the native engine is not built here")
RANGE = (-300, 900)


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
    return np.clip(shifted + extra + x[1:-1, 1:-1, : len(weight)], *RANGE)


class RowsRecord(ctypes.Structure):
    """``struct rows`` of csrc/convolution.h."""

    _fields_ = [
        *[(n, ctypes.c_void_p) for n in ("input", "residual", "output")],
        *[(n, ctypes.c_void_p) for n in ("input_at", "residual_at", "output_at", "counts")],
        *[(n, ctypes.c_int64) for n in ("input_step", "residual_step", "output_step", "count")],
    ]


def with_slack(height: int, width: int, channels: int) -> np.ndarray:
    """Zeros (height, width, channels) with the positions behind them that the engine may read."""
    size = height * width * channels
    return np.zeros(size + 12 * channels, np.int16)[:size].reshape(height, width, channels)


def convolved(x: np.ndarray, layer: Layer, extra: np.ndarray) -> np.ndarray:
    """The engine's result; the input is its own residual."""
    height, width, channels = x.shape[0] - 2, x.shape[1] - 2, x.shape[2]
    rows = np.arange(height, dtype=np.int64)
    taps = np.array([(i * (width + 2) + j) * channels for i in range(3) for j in range(3)])
    out = np.zeros((height, width, layer.outputs), np.int16)
    record = layer.record()
    record.extra, record.taps = address(extra), address(taps)
    record.low, record.high = RANGE
    places = (
        rows * (width + 2) * channels,
        ((rows + 1) * (width + 2) + 1) * channels,
        rows * width * layer.outputs,
        np.full(height, width, np.int32),
    )
    described = RowsRecord(
        *(x.ctypes.data, x.ctypes.data, address(out), *map(address, places)),
        *(channels, channels, layer.outputs, height),
    )
    library = engine()
    assert library is not None
    library.convolve(ctypes.byref(record), ctypes.byref(described), 0, height)
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_sums_are_those_of_64_bits(seed: int, shift: int) -> None:
    random = np.random.default_rng(seed)
    outputs, inputs, height, width = random.integers(1, [100, 100, 12, 30]).tolist()
    channels = 2 * ((max(inputs, outputs) + 1) // 2)
    x = with_slack(height + 2, width + 2, channels)
    x[:] = random.integers(-1023, 1024, x.shape)
    weight = random.integers(-20, 21, (outputs, channels, 3, 3))
    bias = random.integers(-5000, 5000, outputs)
    extra = random.integers(-900, 900, outputs).astype(np.int32)
    layer = Layer.packed(weight, bias, shift)
    for instructions in LIMITS:
        with limited(instructions):
            out = convolved(x, layer, extra)
        assert np.array_equal(out, expected(x, weight, bias, shift, extra))
