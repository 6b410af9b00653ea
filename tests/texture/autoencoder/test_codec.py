"""The autoencoder: decoder equals encoder, parts equal the whole, and it learns."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textures import coded, grey_values, smooth

from deepstd.conditioning import Conditioning
from deepstd.devices import Workers
from deepstd.errors import BundleError, ContainerError, DamagedError, InputError
from deepstd.texture.autoencoder import parts
from deepstd.texture.autoencoder.blocks import WindowAttention
from deepstd.texture.autoencoder.codec import AutoencoderCodec
from deepstd.texture.autoencoder.decoder import decode_latents
from deepstd.texture.autoencoder.encoder import AutoencoderEncoder
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.transform import (
    AutoencoderConfig,
    blocks_of,
    cosine_transform,
    exact_transform,
    mixed,
    padded,
    voxels_of,
)
from deepstd.texture.codec import squared_error
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.description import config_of, description_of
from deepstd.texture.header import TextureHeader
from deepstd.texture.scaling import Scaling
from deepstd.texture.tiling import TileEdges
from deepstd.train.coding import code_batch
from deepstd.train.data import Example

CPU = Workers.named("cpu")
WIDTHS = {2: (16, 16, 16), 3: (16, 16)}


def network(ndim: int, *, template: bool = False, seed: int = 0) -> AutoencoderNetwork:
    """All of it does something: no layer is left at zero."""
    torch.manual_seed(seed)
    config = AutoencoderConfig(ndim, WIDTHS[ndim], 16, 4, 4, template)
    untrained = AutoencoderNetwork(config)
    with torch.no_grad():
        for parameter in untrained.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.05)
    return AutoencoderNetwork.from_tensors(config, untrained.to_tensors())


def decoded_by(net: AutoencoderNetwork, payload: bytes, shape: tuple[int, ...]) -> DecodedTexture:
    return AutoencoderCodec(net, CPU).decode(CodedTexture(payload, (), shape, "x"), None, 0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_linear_path_begins_as_an_orthonormal_transform(ndim: int) -> None:
    stride = 2 ** len(WIDTHS[ndim])
    matrix = cosine_transform(ndim, stride)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix), dtype=matrix.dtype))
    assert (exact_transform(ndim, stride) - matrix).abs().max() <= 2.0**-12
    # Whatever a machine makes of the last bits of a cosine, it rounds to the same whole numbers.
    scaled = matrix * 2.0**11
    assert (scaled - scaled.floor() - 0.5).abs().min() > 1e-3
    x = torch.randn((2, 1, *[3 * stride] * ndim), dtype=torch.float64)
    blocks = blocks_of(x, stride)
    torch.testing.assert_close(voxels_of(mixed(mixed(blocks, matrix), matrix.T), stride), x)
    # A constant is one coefficient: the first.
    flat = mixed(blocks_of(torch.ones_like(x), stride), matrix)
    assert flat[:, 1:].abs().max() < 1e-12


def test_an_untrained_autoencoder_is_the_transform_alone() -> None:
    config = AutoencoderConfig(3, (16, 16), 16, 4, 4, False)
    net, x = AutoencoderNetwork(config), torch.randn(1, 1, 16, 12, 20)
    condition = torch.zeros(1, config.conditions, 1, 1, 1)
    with torch.no_grad():
        latents = net.analysis(x, None, condition)
        restored = net.synthesis(latents, None, condition)
    torch.testing.assert_close(restored, x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1, 1), (35, 51), (20, 17, 13), (33, 5, 40)])
def test_decoder_gets_the_encoders_values(shape: tuple[int, ...]) -> None:
    net, x = network(len(shape)), smooth(shape)
    encoder = AutoencoderEncoder(net, x)
    encoded = encoder.encode(4096, 0.1)
    decoded = decoded_by(net, encoded.payload, shape)
    assert decoded.latents == encoded.latents
    assert np.square(grey_values(decoded) - x).mean() == pytest.approx(
        squared_error(encoder, encoded, 4096), rel=1e-3, abs=1e-6
    )


@pytest.mark.parametrize("ndim", [2, 3])
def test_latents_depend_neither_on_threads_nor_on_precision(ndim: int) -> None:
    shape = (70, 66) if ndim == 2 else (24, 30, 22)
    net, x = network(ndim, template=True), smooth(shape)
    template = np.rint(x - x.min()).clip(0, 1023).astype(np.int32)[None, None]
    places = np.zeros((1, ndim, *shape), np.int16)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        encoded = AutoencoderEncoder(net, x, Conditioning(template, places)).encode(5000, 0.1)
        found = set()
        for threads, dtype in ((1, torch.float32), (2, torch.float64), (1, torch.float64)):
            torch.set_num_threads(threads)
            decoded = decode_latents(
                net, coded(encoded, shape), Conditioning(template, places), network_dtype=dtype
            )
            found.add(decoded.latents)
        assert found == {encoded.latents}
        with contextlib.suppress(DamagedError):
            changed = Conditioning(template // 2, places)
            other = decode_latents(net, coded(encoded, shape), changed)
            assert other.latents != encoded.latents
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize("ndim", [2, 3])
def test_parts_join_without_seams(ndim: int, template: bool) -> None:
    net = network(ndim, template=template, seed=1)
    config = net.config
    whole_windows = config.stride * config.window
    shape = (net.synthesis.halo + 3 * whole_windows, *[whole_windows + 8] * (ndim - 1))
    x = padded(torch.from_numpy(smooth(shape))[None, None].float() / 20, config.stride)
    shape = tuple(x.shape[2:])
    conditioning = None
    if template:
        warped = (x[...] * 30).round().clamp(0, 1023).int()
        axes = [torch.linspace(-64, 64, n) for n in shape]
        places = torch.stack(torch.meshgrid(axes, indexing="ij"))[None].round()
        conditioning = Conditioning(warped.numpy(), places.to(torch.int16).numpy())
    around = parts.surroundings(config, conditioning, 2000, torch.device("cpu"))
    networks = {CPU.first: net}

    def both(workers: Workers, edges: TileEdges) -> tuple[torch.Tensor, torch.Tensor]:
        latents = parts.analyse(networks, x, around, workers, edges)
        return latents, parts.synthesise(networks, latents, around, workers, edges)

    latents, restored = both(CPU, parts.NETWORK_TILES)
    assert not torch.allclose(restored, x, atol=1e-2)  # the network does something
    small = TileEdges(2 * whole_windows, 2 * whole_windows)
    for workers in (CPU, Workers.named("cpu,cpu"))[: 1 + template]:
        again = both(workers, small)
        torch.testing.assert_close(again[0], latents, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(again[1], restored, atol=1e-4, rtol=1e-4)
    _, gradient = parts.synthesis_gradient(net, latents, around, x, small)
    with torch.enable_grad():
        moving = latents.clone().requires_grad_()
        out = net.synthesis(moving, around.hint, around.condition)
        (expected,) = torch.autograd.grad((out - x).square().sum(), moving)
    torch.testing.assert_close(gradient, expected, atol=1e-3, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 11), st.integers(1, 9), st.booleans())
def test_attention_sees_nothing_outside_the_grid(height: int, width: int, shifted: bool) -> None:
    torch.manual_seed(0)
    layer = WindowAttention(2, 8, 4, shifted=shifted)
    x = torch.randn(1, height, width, 8)
    with torch.no_grad():
        whole = layer(x)
        assert whole.shape == x.shape
        assert torch.isfinite(whole).all()
        # The first window alone: what is beyond it does not matter to it.
        end = 2 if shifted else 4
        first = layer(x[:, :end, :end])
    torch.testing.assert_close(whole[:, :end, :end], first, atol=1e-5, rtol=1e-5)


def test_refinement_lowers_the_error_at_equal_bytes() -> None:
    net, x = network(3), smooth((32, 36, 28))
    x = x + np.random.default_rng(0).normal(size=x.shape) * 5
    encoder = AutoencoderEncoder(net, x)

    def cost() -> float:
        encoded = encoder.encode(3500, 0.1)
        return np.log2(squared_error(encoder, encoded, 3500)) + 0.8 * np.log2(encoded.nbytes)

    before = cost()
    encoder.refine(3500, 0.1, 4)
    assert cost() < before - 0.01


def test_damaged_payloads_never_escape_as_other_errors() -> None:
    shape = (20, 21)
    net, x = network(2), smooth(shape)
    encoded = AutoencoderEncoder(net, x).encode(4000, 0.1)
    random = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(encoded.payload)
        data[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            decoded = decoded_by(net, bytes(data), shape)
        except ContainerError:
            continue
        assert decoded.steps.shape == shape


def test_tiles_and_previews_are_refused() -> None:
    codec = AutoencoderCodec(network(2), CPU)
    payload = TextureHeader(Scaling(0, 0), 0, (0, 0)).pack()
    with pytest.raises(ContainerError, match="no texture tiles"):
        codec.check(CodedTexture(payload, [b"x"], (8, 8), "x"), 0)
    with pytest.raises(InputError, match="no preview"):
        codec.check(CodedTexture(payload, [], (8, 8), "x"), 1)


@pytest.mark.parametrize(
    "change",
    [
        {"widths": ()},
        {"widths": (16, 16, 16)},
        {"widths": (20, 16)},
        {"window": 3},
        {"window": 32},
        {"ndim": 4},
        {"context_width": 0},
        {"more": 1},
    ],
)
def test_sizes_that_make_no_network_are_refused(change: dict[str, object]) -> None:
    sizes = description_of(network(3).config)
    assert config_of(sizes) == network(3).config
    with pytest.raises(BundleError, match=r"not possible|not understood"):
        config_of({**sizes, **change})


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_weight_learns_and_bits_and_error_fall(ndim: int) -> None:
    torch.manual_seed(0)
    net = AutoencoderNetwork(AutoencoderConfig(ndim, WIDTHS[ndim], 16, 4, 4, False))
    shape = (48, 40) if ndim == 2 else (20, 24, 16)
    x = smooth(shape)
    scaling = Scaling.fit(x)
    values = torch.from_numpy((x - scaling.offset).astype(np.float32))[None, None]
    example = Example(values, (0,) * ndim, scaling, None)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    costs = []
    for _ in range(12):
        coded = code_batch(net, [example] * 2, [1500, 4000], 0.1, generator)
        optimiser.zero_grad()
        coded.loss.mean().backward()
        assert all(p.grad is not None for p in net.parameters())
        optimiser.step()
        costs.append(float((coded.bits + coded.error / 0.1).mean().detach()))
    assert costs[-1] < 0.95 * costs[0]
