"""Texture coding: decoder equals encoder, whatever computes it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from textures import coded, finished, grey_values, smooth

from deepstd.conditioning import Conditioning
from deepstd.devices import CPU, Device, Workers
from deepstd.engine import library
from deepstd.errors import BundleError, ContainerError, DamagedError
from deepstd.texture import scaling
from deepstd.texture.codec import squared_error
from deepstd.texture.coded import CodedTexture
from deepstd.texture.entropy import symbols as sources
from deepstd.texture.networks import placed as on_gpus
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.scaling import Scaling, template_units
from deepstd.texture.wavelet.decoder import decode_texture
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.network import TextureConfig, WaveletNetwork
from deepstd.threads import limited_to


def untrained(ndim: int, *, template: bool = False, seed: int = 0) -> TextureNetwork:
    torch.manual_seed(seed)
    return TextureNetwork(TextureConfig(ndim, (12, 16), template, 8, 1))


def network(ndim: int, *, template: bool = False, seed: int = 0) -> WaveletNetwork:
    return finished(untrained(ndim, template=template, seed=seed))


SHAPES = [(1, 1), (2, 1, 1), (35, 51), (20, 17, 13), (33, 5, 40), (150, 20, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 4.0)])
def test_decoder_gets_the_encoders_values(
    shape: tuple[int, ...], spacing: tuple[float, ...] | None
) -> None:
    spacing = None if spacing is None else spacing[: len(shape)]
    net, x = network(len(shape)), smooth(shape)
    encoder = TextureEncoder(net, x, spacing)
    encoded = encoder.encode(4096, 0.1)
    decoded = decode_texture(net, coded(encoded, shape))
    assert decoded.latents == encoded.latents
    assert np.square(grey_values(decoded) - x).mean() == pytest.approx(
        squared_error(encoder, encoded, 4096), rel=1e-3, abs=1e-6
    )


@pytest.mark.parametrize("ndim", [2, 3])
def test_latents_do_not_depend_on_threads(ndim: int) -> None:
    shape = (70, 66) if ndim == 2 else (24, 30, 22)
    net, x = network(ndim), smooth(shape)
    with limited_to(2):
        encoded = TextureEncoder(net, x, None).encode(5000, 0.1)
    for threads in (1, 3):
        with limited_to(threads):
            assert decode_texture(net, coded(encoded, shape)).latents == encoded.latents


@pytest.mark.parametrize(("ndim", "template"), [(2, False), (3, False), (3, True)])
def test_networks_in_torch_compute_the_same_symbols(
    ndim: int, *, template: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of GPUs, which are placed on the CPU here."""
    shape = (70, 66) if ndim == 2 else (24, 30, 22)
    net, x = untrained(ndim, template=template), smooth(shape)
    here, gpu = finished(net), Device("cuda")
    monkeypatch.setattr(on_gpus, "torch_device", lambda device: torch.device("cpu"))
    there = on_gpus.placed(here, net.to_tensors(), Workers((gpu, Device())))
    conditioning = None
    if template:
        grey = np.clip(np.rint(x), 0, 1023).astype(np.int32)[None, None]
        conditioning = Conditioning(grey, np.zeros((1, 3, *shape), np.int16))
    encoded = TextureEncoder(here, x, None, conditioning).encode(5000, 0.1)
    workers = Workers((gpu,))
    again = TextureEncoder(there, x, None, conditioning, workers=workers).encode(5000, 0.1)
    assert again.payload == encoded.payload
    ours, theirs = (
        decode_texture(own, coded(encoded, shape), conditioning, workers=on)
        for own, on in ((here, CPU), (there, workers))
    )
    assert ours.latents == theirs.latents
    np.testing.assert_allclose(ours.steps, theirs.steps, atol=1e-3)


def test_tiles_decode_without_each_other() -> None:
    shape = (150, 140, 12)
    net, x = network(3), smooth(shape)
    encoded = TextureEncoder(net, x, None).encode(3000, 0.1)
    assert len(encoded.tiles) == 4
    whole = grey_values(decode_texture(net, coded(encoded, shape)))
    # Exchange one tile's bytes for noise: far from it nothing changes.
    tiles = list(encoded.tiles)
    tiles[-1] = bytes(range(256)) * 20
    part = grey_values(decode_texture(net, replace(coded(encoded, shape), tiles=tiles)))
    assert np.array_equal(whole[:90, :90], part[:90, :90])
    assert not np.array_equal(whole[140:, 135:], part[140:, 135:])


def test_a_network_that_expects_other_scales_costs_less_with_offsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An untrained one expects the same everywhere, fine noise and hardly any."""
    shape = (96, 90)
    net, noise = network(2), np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for step_code in (1000, 4000):
        with_offsets = TextureEncoder(net, noise, None).encode(step_code, 0.1)
        decoded = decode_texture(net, coded(with_offsets, shape))
        assert decoded.latents == with_offsets.latents
        with monkeypatch.context() as patch:
            patch.setenv(library.DISABLED, "1")  # the engine chooses offsets by itself
            library.engine.cache_clear()
            patch.setattr(sources, "best_offsets", lambda *given: np.zeros_like(given[2]))
            without = TextureEncoder(net, noise, None).encode(step_code, 0.1)
        library.engine.cache_clear()
        assert with_offsets.nbytes < 0.97 * without.nbytes


def test_a_finer_step_costs_more_and_errs_less() -> None:
    net, x = network(3), smooth((32, 32, 32))
    encoder = TextureEncoder(net, x, None)
    points = []
    for code in (1000, 3000, 6000):
        encoded = encoder.encode(code, 0.1)
        points.append((encoded.nbytes, squared_error(encoder, encoded, code)))
    assert points[0][0] < points[1][0] < points[2][0]
    assert points[0][1] > points[1][1] > points[2][1]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_coding_does_not_depend_on_the_unit(scale: float) -> None:
    net, x = network(2), smooth((40, 40))
    sizes = {
        s: len(TextureEncoder(net, x * s, None).encode(4000, 0.1).payload) for s in (1.0, scale)
    }
    assert abs(sizes[scale] - sizes[1.0]) < 0.1 * sizes[1.0] + 8


def test_template_conditioning_round_trip() -> None:
    shape = (21, 30, 17)
    net, x = network(3, template=True), smooth(shape)
    low, high = x.min(), x.max()
    template = np.rint((x - low) / (high - low) * 1000).astype(np.int32)[None, None]
    places = np.zeros((1, 3, *shape), np.int16)
    conditioning = Conditioning(template, places)
    encoder = TextureEncoder(net, x, None, conditioning)
    encoded = encoder.encode(3000, 0.1)
    decoded = decode_texture(net, coded(encoded, shape), conditioning)
    assert decoded.latents == encoded.latents
    with contextlib.suppress(DamagedError):  # what other symbols say may make no sense
        other = decode_texture(net, coded(encoded, shape), Conditioning(template // 2, places))
        assert other.latents != encoded.latents


def test_damaged_payloads_never_escape_as_other_errors() -> None:
    shape = (20, 21)
    net, x = network(2), smooth(shape)
    encoded = TextureEncoder(net, x, None).encode(4000, 0.1)
    random = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(encoded.payload)
        data[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            decoded = decode_texture(net, CodedTexture(bytes(data), (), shape, "x"))
        except ContainerError:
            continue
        assert decoded.steps.shape == shape


def test_unit_of_the_template_is_exact_and_monotonic() -> None:
    template = np.arange(1024)[None, None]
    for code in (-4096, -1, 0, 1, 777, 16384):
        units = template_units(template, code)
        assert np.array_equal(units, np.rint(units))
        exact = template.astype(float) * 64 * 2.0 ** (code / 1024) / 1024
        assert np.abs(units - exact).max() <= 1 + exact.max() * 1e-5
        assert (units[..., 1:] >= units[..., :-1]).all()


def test_scaling_of_constant_and_tiny_scans_is_finite() -> None:
    for x in (np.zeros((4, 4)), np.full((1, 1), -7.5), np.array([[0.0, 1e-30]])):
        scaling = Scaling.fit(x)
        assert np.isfinite([scaling.range, scaling.offset]).all()
        assert scaling.range > 0


def test_overflowing_weights_are_refused() -> None:
    net = untrained(2)
    stored = net.to_tensors()
    name = next(n for n in stored if n.endswith("second.weight"))
    stored[name] = np.full_like(stored[name], 32767)
    for kind in (TextureNetwork, WaveletNetwork):
        with pytest.raises(BundleError, match="too large"):
            kind.from_tensors(net.config, stored)


def test_arrays_without_a_place_are_refused() -> None:
    net = untrained(2)
    for kind in (TextureNetwork, WaveletNetwork):
        with pytest.raises(BundleError, match=r"no place for (postfilter\.)?more"):
            kind.from_tensors(net.config, {**net.to_tensors(), "postfilter.more": np.ones(3)})


@pytest.mark.parametrize("part", ["weight", "bias", "shift"])
def test_weights_of_another_type_are_refused(part: str) -> None:
    net = untrained(2)
    stored = net.to_tensors()
    name = next(n for n in stored if n.endswith(f"second.{part}"))
    stored[name] = stored[name].astype(np.float32)
    for kind in (TextureNetwork, WaveletNetwork):
        with pytest.raises(BundleError, match=part):
            kind.from_tensors(net.config, stored)


def test_a_network_may_do_without_a_post_filter() -> None:
    config = TextureConfig(3, (12, 16), False, 0, 0)
    net = finished(TextureNetwork(config))
    x = smooth((20, 17, 13))
    encoder = TextureEncoder(net, x, None)
    encoded = encoder.encode(4096, 0.1)
    decoded = decode_texture(net, coded(encoded, x.shape))
    expected = encoded.low[0, 0] / 64
    np.testing.assert_allclose(decoded.steps, expected, rtol=1e-6, atol=1e-4)
    encoder.refine(4096, 0.1, 1)
    for half in ((0, 1), (8, 0)):
        with pytest.raises(BundleError, match="not possible"):
            TextureConfig(3, (12, 16), False, *half)


@pytest.mark.parametrize("widths", [(), (8.5,), (0,), (513,), (8,) * 40])
def test_sizes_that_make_no_network_are_refused(widths: tuple) -> None:
    with pytest.raises(BundleError, match="not possible"):
        TextureConfig(2, widths, False, 8, 1)


def test_the_scaling_of_a_large_scan_does_not_depend_on_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scaling, "_SAMPLES", 1 << 12)
    rng = np.random.default_rng(0)
    values = rng.gamma(2, 100, (64, 64, 25)).astype(np.float32)
    values[..., 0] = 0  # an odd step through the memory would see little else
    found = Scaling.fit(values)
    assert found == Scaling.fit(np.asfortranarray(values))
    low, high = np.percentile(values, [0.5, 99.5])
    assert found.range == pytest.approx(high - low, rel=0.15)
