"""Prices: λ that differs between voxels, alike in the engine and in the reference."""

from __future__ import annotations

import numpy as np
import pytest

from deepstd.codec.codec import Codec
from deepstd.engine import library
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.lifting import split_plan
from deepstd.texture.wavelet.prices import prices_of_levels


def smooth_noise(shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng(5).normal(0, 1, shape)
    for axis in range(len(shape)):
        values = values + np.roll(values, 1, axis) + np.roll(values, 2, axis)
    return 100 * values


def encoder_of(values: np.ndarray) -> TextureEncoder:
    codec, _ = Codec.load("generic", device="cpu").model.codec_for(values.shape)
    found = codec.encoder(values, None, None, None)
    assert isinstance(found, TextureEncoder)
    return found


def halves(values: np.ndarray) -> np.ndarray:
    prices = np.full(values.shape, 4.0, np.float32)
    prices[: values.shape[0] // 2] = 1 / 32
    return prices


def test_a_coefficient_has_the_least_price_below_it() -> None:
    prices = np.ones((6, 5), np.float32)
    prices[3, 4] = 0.25
    levels = prices_of_levels(prices, split_plan((6, 5), (0, 0)))
    assert levels[0].shape == (1, 1, 3, 3)
    assert levels[0][0, 0, 1, 2] == 0.25
    assert (levels[0] == 1).sum() == 8


@pytest.mark.parametrize("shape", [(96, 88), (24, 28, 20)])
def test_low_prices_lower_the_error(shape: tuple[int, ...]) -> None:
    values = smooth_noise(shape)
    encoder = encoder_of(values)
    code = 1024  # coarse, so that little error crosses from one half to the other
    step, offset = encoder.scaling.step(code), encoder.scaling.offset

    def errors() -> tuple[float, float]:
        restored = encoder.restored(encoder.encode(code, 0.1), code) * step + offset
        squared = np.square(restored - values)
        half = shape[0] // 2
        return float(squared[:half].mean()), float(squared[half:].mean())

    plain = errors()
    encoder.set_prices(halves(values))
    priced = errors()
    assert priced[0] < plain[0]
    assert priced[1] > plain[1]


@pytest.mark.parametrize("shape", [(96, 88), (24, 28, 20)])
def test_the_reference_chooses_the_same_symbols(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if library.engine() is None:
        pytest.skip("the engine is not installed")
    values = smooth_noise(shape)
    coded = []
    for disabled in ("0", "1"):
        monkeypatch.setenv(library.DISABLED, disabled)
        library.engine.cache_clear()
        encoder = encoder_of(values)
        encoder.set_prices(halves(values))
        coded.append(encoder.encode(2 * 1024, 0.1).payload)
    monkeypatch.undo()
    library.engine.cache_clear()
    assert coded[0] == coded[1]
