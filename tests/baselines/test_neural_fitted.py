"""Codecs that are fitted to one scan: what comes back, within which bytes, and how repeatable."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from deepstd import quality
from deepstd.baselines.base import Encoded, encode_within
from deepstd.baselines.neural import parameters
from deepstd.baselines.neural.fitted import Brief, Gaussians
from deepstd.baselines.neural.limit import Limit
from deepstd.baselines.neural.partition import best_flags, blocks
from deepstd.baselines.neural.tiles import Tiles
from deepstd.coding.backend import new_decoder, new_encoder
from deepstd.errors import MissingExtraError, RateError

CODECS = (Brief(steps=60), Gaussians(steps=60))
each_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


def scan(shape: tuple[int, ...], dtype: type | str = np.int16, offset: float = 0.0) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=shape), 3.0)
    return (smooth / smooth.std() * 300 + offset).astype(dtype)


@each_codec
@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        *[(np.int16, -1000.0), (np.uint16, 2000.0), (">i2", 0.0), (np.int64, 1e6)],
        *[(np.float16, 0.0), (np.float32, 1e4), (np.float64, -1e4)],
    ],
)
def test_scan_comes_back(codec: Brief | Gaussians, dtype: type, offset: float) -> None:
    original = scan((21, 30, 11), dtype, offset)
    result = encode_within(codec, original, 700)
    assert result.restored.dtype == original.dtype
    assert result.restored.shape == original.shape
    assert math.isnan(result.knob)
    assert 0.97 * 700 <= result.nbytes <= 700
    better = quality.rmse(original, result.restored) / original.astype(np.float64).std()
    assert better < 0.8  # of what the mean as a constant would be


@each_codec
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2, 1), (5, 1, 9), (1, 33, 17), (9, 8, 2, 3)])
def test_odd_shapes_come_back(codec: Brief | Gaussians, shape: tuple[int, ...]) -> None:
    original = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    restored = encode_within(codec, original, 400).restored
    assert restored.shape == shape
    assert quality.rmse(original, restored) <= original.std()


@each_codec
def test_frames_share_the_bytes(codec: Brief | Gaussians) -> None:
    original = np.stack([scan((24, 20, 6), np.int16, 900.0 * t) for t in range(3)], axis=3)
    original[..., 1] = 77
    encoded = codec.encode(original, 900)
    restored = codec.decode(encoded)
    assert [len(stream) > 300 for stream in encoded.streams] == [False, False, True]
    assert encoded.streams[1] == b""
    assert 0.97 * 900 <= encoded.nbytes <= 900
    for t, most in ((0, 270), (1, 0), (2, 270)):
        assert quality.rmse(original[..., t], restored[..., t]) <= most


@each_codec
@pytest.mark.parametrize("value", [np.int16(-1000), np.float32(0.1), np.uint8(255), np.True_])
def test_constant_scan_takes_no_bytes(codec: Brief | Gaussians, value: np.generic) -> None:
    original = np.full((9, 8, 7), value)
    encoded = codec.encode(original, 1)
    assert encoded.nbytes == 0
    np.testing.assert_array_equal(codec.decode(encoded), original)
    assert codec.decode(encoded).dtype == original.dtype


@each_codec
def test_non_finite_voxels_do_not_spread(codec: Brief | Gaussians) -> None:
    original = scan((32, 32), np.float32)
    original[5, 5], original[6, 6] = np.nan, np.inf
    restored = encode_within(codec, original, 300).restored
    assert np.isfinite(restored).all()
    assert np.nanmean(np.abs(restored - scan((32, 32), np.float32))) < 300
    everywhere = np.full((8, 8), np.nan, np.float32)
    assert np.isfinite(encode_within(codec, everywhere, 1).restored).all()


@each_codec
@settings(max_examples=8)
@given(max_bytes=st.integers(120, 3000))
@example(max_bytes=120)
def test_bytes_allowed_are_used(codec: Brief | Gaussians, max_bytes: int) -> None:
    encoded = replace(codec, steps=5).encode(scan((40, 36)), max_bytes)
    assert 0.97 * max_bytes <= encoded.nbytes <= max_bytes


@each_codec
def test_too_few_bytes_are_refused_with_the_least(codec: Brief | Gaussians) -> None:
    with pytest.raises(RateError, match=r"smallest it can do is \d+"):
        codec.encode(scan((40, 36)), 3)


def test_a_codec_that_takes_too_much_is_refused() -> None:
    class Greedy(Brief):
        def encode(self, voxels: np.ndarray, max_bytes: int) -> Encoded:
            return Encoded((bytes(max_bytes + 1),))

    with pytest.raises(RateError, match=r"10 bytes .* needed 11"):
        encode_within(Greedy(), scan((8, 8)), 10)


@each_codec
def test_fits_by_steps_repeat_and_streams_decode_alone(codec: Brief | Gaussians) -> None:
    original = scan((40, 36))
    first, again = (codec.encode(original, 400) for _ in range(2))
    assert first.streams == again.streams
    np.testing.assert_array_equal(codec.decode(first), codec.decode(again))


@each_codec
def test_more_bytes_and_more_steps_are_better(codec: Brief | Gaussians) -> None:
    original = scan((40, 36))

    def error(steps: int, max_bytes: int) -> float:
        restored = encode_within(replace(codec, steps=steps), original, max_bytes).restored
        return quality.rmse(original, restored)

    assert error(120, 800) < 0.8 * error(10, 800)
    assert error(120, 800) < 0.8 * error(120, 100)


@each_codec
def test_time_limits_a_fit(codec: Brief | Gaussians) -> None:
    replace(codec, steps=1).encode(scan((40, 36)), 400)  # PyTorch is imported by the first use
    limited = replace(codec, seconds=0.3, steps=None)
    result = encode_within(limited, scan((40, 36)), 400)
    assert 0.2 < result.encode_s < 5  # of a busy machine
    assert limited.name.endswith("(0.3 s)")


def test_limits_count_steps_or_time() -> None:
    assert list(Limit(9, 4).ticks()) == [0, 0.25, 0.5, 0.75]
    assert Limit(9, 4).scaled(0.5) == Limit(4.5, 2)
    assert Limit(9, 4).scaled(0.01).steps == 1
    assert list(Limit(1e-9).ticks()) == [0]


def test_codec_needs_torch_and_imports_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for codec in CODECS:
        for call in (codec.check, lambda codec=codec: codec.encode(scan((8, 8)), 99)):
            with pytest.raises(MissingExtraError, match=r'pip install "deepstd\[neural\]"'):
                call()
    code = "import sys, deepstd.baselines.neural.fitted; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parameters_come_back_and_the_finest_step_is_found() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(0, scale, size) for scale, size in ((1.0, 300), (50.0, 7), (0.0, 5))]

    def writer(encoder: parameters.Encoder, index: int) -> None:
        step = parameters.step_of(index)
        parameters.write(encoder, [parameters.symbols_of(values, step) for values in groups])

    index, stream = parameters.finest(writer, 300, "x")
    assert 290 <= len(stream) <= 300
    longer = new_encoder()
    writer(longer, index + 1)
    assert len(longer.finish()) > 300
    read = parameters.read(new_decoder(stream), [values.size for values in groups])
    step = parameters.step_of(index)
    for symbols, values in zip(read, groups, strict=True):
        assert np.abs(symbols * step - values).max() <= step / 2


@pytest.mark.parametrize("shape", [(40,), (17, 64), (33, 9, 20)])
def test_blocks_cover_every_voxel_once(shape: tuple[int, ...]) -> None:
    frame = scan(shape, np.float32)
    for most in (1, 3, 8, 20):
        parts = blocks(shape, iter(best_flags(frame, most)))
        assert len(parts) <= most
        counts = np.zeros(shape, int)
        for box in parts:
            counts[box] += 1
        assert (counts == 1).all()


def test_blocks_without_detail_stay_whole() -> None:
    frame = np.zeros((64, 64), np.float32)
    frame[:32, :32] = np.random.default_rng(0).normal(size=(32, 32)) > 0
    parts = blocks(frame.shape, iter(best_flags(frame, 13)))
    assert len(parts) == 13
    quarters = [(slice(0, 32), slice(32, 64)), (slice(32, 64), slice(0, 32))]
    assert all(quarter in parts for quarter in (*quarters, (slice(32, 64), slice(32, 64))))


@pytest.mark.parametrize("shape", [(90,), (20, 37), (9, 20, 11)])
def test_tiles_sum_all_gaussians_that_matter(shape: tuple[int, ...]) -> None:
    rng, axes = np.random.default_rng(0), len(shape)
    centres = rng.uniform(0, shape, (12, axes))
    factors = np.tril(rng.normal(0, 0.1, (12, axes, axes)), -1) + np.eye(axes) * 0.5
    amplitudes = rng.normal(size=12)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    turned = np.einsum("...nd,nde->...ne", places[..., None, :] - centres, factors)
    expected = np.exp(-0.5 * np.square(turned).sum(-1)) @ amplitudes
    parts = [torch.from_numpy(part.astype(np.float32)) for part in (centres, factors, amplitudes)]
    np.testing.assert_allclose(Tiles(shape).restored(*parts), expected, atol=0.01)
