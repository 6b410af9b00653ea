"""Scans coded slice by slice: decoder equals encoder, and it is done where it pays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from textures import coded, finished, grey_values, lifting, smooth

from deepstd.codec.codec import Codec
from deepstd.codec.slice_decision import Trial, Way, try_slices, ways
from deepstd.coding.bytes import Cursor
from deepstd.container import parse
from deepstd.devices import CPU, Workers
from deepstd.errors import ContainerError, InputError
from deepstd.rate.effort import EFFORTS
from deepstd.rate.start import Start
from deepstd.rate.tile_fit import fit_tiles
from deepstd.texture.codec import squared_error
from deepstd.texture.coded import CodedTexture
from deepstd.texture.header import TextureHeader
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.slices import schedule as neighbours
from deepstd.texture.slices.decoder import SliceNetworks, check_slices, decode_slices
from deepstd.texture.slices.encoder import SlicedEncoder
from deepstd.texture.slices.schedule import SliceNode
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.network import TextureConfig, WaveletNetwork
from deepstd.volume import Volume


def untrained(widths: tuple[int, ...], *, template: bool = False) -> WaveletNetwork:
    torch.manual_seed(0)
    config = TextureConfig(2, widths, template, 8, 1)
    network = TextureNetwork(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".head." in name and name.endswith("bias"):
                parameter[3:6] = -0.5  # scales of about one step
    return finished(network)


@pytest.fixture(scope="module")
def networks() -> SliceNetworks:
    return SliceNetworks(untrained((12, 16)), untrained((8, 12), template=True))


@pytest.mark.parametrize(
    ("coarse", "shape", "found"),
    [
        ((0, 0, 3), (60, 50, 9), [(2, 0), (2, 2)]),
        ((6, 1, 0), (9, 50, 60), [(0, 0), (0, 1)]),
        (
            (0, 0, 2),
            (60, 50, 9),
            [(2, 3), (1, 3), (0, 3)],
        ),  # hardly thicker than its pixels are wide
        ((5, 0, 4), (9, 50, 9), [(2, 3), (1, 3), (0, 3)]),
        ((0, 0, 6), (60, 50, 2), [(2, 0)]),  # none lies between two others
        ((0, 0, 3), (60, 50, 1), []),
        ((0, 0, 3), (3000, 2000, 9), []),  # images of several tiles
        ((0, 3), (60, 50), []),
    ],
)
def test_which_ways_there_are(
    coarse: tuple[int, ...],
    shape: tuple[int, ...],
    found: list[tuple[int, int]],
    networks: SliceNetworks,
) -> None:
    assert ways(coarse, shape, networks) == [Way(*way) for way in found]
    assert ways(coarse, shape, networks.alone) == [Way(*way) for way in found if way[1] == 0]


@pytest.mark.parametrize("octaves", [0, 1, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_decoder_gets_the_encoders_values(networks: SliceNetworks, axis: int, octaves: int) -> None:
    shape = tuple(np.roll((12, 33, 20), axis).tolist())
    x = smooth(shape)
    coarse = tuple(4 if a == axis else 0 for a in range(3))
    encoder = SlicedEncoder(networks, x, axis, coarse, octaves)
    encoded = encoder.encode(4096, 0.1)
    decoded = decode_slices(networks, coded(encoded, shape))
    assert decoded.latents == encoded.latents
    assert np.square(grey_values(decoded) - x).mean() == pytest.approx(
        squared_error(encoder, encoded, 4096), rel=1e-3
    )
    two = Workers.named("cpu,cpu")
    again = SlicedEncoder(networks, x, axis, coarse, octaves, workers=two).encode(4096, 0.1)
    assert again.payload == encoded.payload
    other = decode_slices(networks, coded(encoded, shape), workers=two)
    np.testing.assert_array_equal(other.steps, decoded.steps)
    head = TextureHeader.read(Cursor(encoded.payload, "x", "texture"), 3)
    assert (head.sliced, head.octaves) == (axis, octaves)


@pytest.mark.parametrize("octaves", [0, 2])
@pytest.mark.parametrize("together", [1, 40 * 36, 3 * 40 * 36])
def test_how_many_slices_are_coded_at_once_changes_nothing(
    networks: SliceNetworks, octaves: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = smooth((40, 36, 12))

    def coded() -> bytes:
        encoder = SlicedEncoder(networks, x, 2, (0, 0, 4), octaves)
        encoder.refine(4096, 0.1, 1)
        return encoder.encode(4096, 0.1).payload

    payload, steps = coded(), {}
    for pixels in (neighbours.TOGETHER, together):
        monkeypatch.setattr(neighbours, "TOGETHER", pixels)
        assert coded() == payload
        steps[pixels] = decode_slices(networks, CodedTexture(payload, (), x.shape, "x")).steps
    np.testing.assert_array_equal(*steps.values())


def test_groups_hold_all_slices_and_each_worker_has_one() -> None:
    nodes = [SliceNode(index, 1, bidirectional=True) for index in range(1, 33, 2)]
    for devices, most in ((1, 4), (3, 4), (40, 1)):
        groups = neighbours.groups_of(
            nodes, neighbours.TOGETHER // 4, Workers((CPU.first,) * devices)
        )
        assert [node for group in groups for node in group] == nodes
        assert max(map(len, groups)) == most
        assert len(groups) >= min(devices, len(nodes))


def test_groups_share_prediction_mode_and_distance() -> None:
    nodes = [
        SliceNode(8, 4),
        SliceNode(16, 4),
        SliceNode(4, 4, bidirectional=True),
        SliceNode(2, 2, bidirectional=True),
    ]
    assert neighbours.groups_of(nodes, 1, CPU) == [nodes[:2], nodes[2:3], nodes[3:]]


def test_a_slice_coded_alone_is_an_image(networks: SliceNetworks) -> None:
    x = smooth((33, 20, 5))
    encoder = SlicedEncoder(networks, x, 2, (0, 0, 4))
    encoded = encoder.encode(4096, 0.1)
    image = x[..., 2]
    alone = TextureEncoder(networks.images, image, None, scaling=encoder.scaling, coarse=(0, 0))
    assert alone.encode(4096, 0.1).stream == encoded.slices[2].stream


@given(st.integers(1, 9), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
def test_previews_have_the_shape_that_is_told(
    count: int, axis: int, level: int, octaves: int
) -> None:
    small = SliceNetworks(untrained((4,)), untrained((4,), template=True))
    shape = tuple(np.roll((count + 1, 19, 14), axis).tolist())
    coarse = tuple(5 if a == axis else 0 for a in range(3))
    x = smooth(shape)
    texture = coded(SlicedEncoder(small, x, axis, coarse, octaves).encode(6000, 0.1), shape)
    factors = check_slices(small, texture, level)
    assert factors is not None
    decoded = decode_slices(small, texture, level=level)
    assert decoded.steps.shape == tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    assert factors[axis] == 1
    kept = x[tuple(slice(None, None, f) for f in factors)]
    assert np.abs(grey_values(decoded) - kept).mean() < np.abs(x - x.mean()).mean()
    with pytest.raises(InputError, match="level 40"):
        check_slices(small, texture, 40)


@pytest.mark.parametrize("octaves", [0, 2])
def test_a_size_near_by_is_met_by_some_slices(networks: SliceNetworks, octaves: int) -> None:
    encoder = SlicedEncoder(networks, smooth((40, 36, 12)), 2, (0, 0, 4), octaves)
    first = encoder.encode(4000, 0.1)
    wanted = 1.01 * first.nbytes
    (fitted,) = fit_tiles([encoder], [first], first.nbytes, 0.996 * wanted, wanted)
    assert 0.996 * wanted <= fitted.nbytes <= wanted
    again = encoder.recode(first, {3: 0.0})
    pairs = zip(first.slices, again.slices, strict=True)
    assert [n for n, (a, b) in enumerate(pairs) if a.stream != b.stream] == [first.free[3]]
    decoded = decode_slices(networks, coded(fitted, encoder.shape))
    assert decoded.latents == fitted.latents


@pytest.mark.parametrize("octaves", [0, 2])
def test_damaged_payloads_never_escape_as_other_errors(
    networks: SliceNetworks, octaves: int
) -> None:
    shape = (20, 21, 4)
    encoded = SlicedEncoder(networks, smooth(shape), 2, (0, 0, 4), octaves).encode(4000, 0.1)
    random = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(encoded.payload)
        data[random.integers(len(data))] ^= 1 << random.integers(8)
        damaged = CodedTexture(bytes(data), (), shape, "x")
        try:
            if check_slices(networks, damaged) is not None:
                decoded = decode_slices(networks, damaged)
                assert decoded.steps.shape == shape
        except ContainerError:
            continue
    with pytest.raises(ContainerError, match="x is damaged"):
        check_slices(networks, CodedTexture(encoded.payload[:-1], (), shape, "x"))
    with pytest.raises(ContainerError, match="too many"):
        check_slices(networks, CodedTexture(encoded.payload + b"x", (), shape, "x"))


def test_slices_between_others_need_their_network(networks: SliceNetworks) -> None:
    encoded = SlicedEncoder(networks, smooth((20, 21, 4)), 2, (0, 0, 4), 1).encode(4000, 0.1)
    with pytest.raises(ContainerError, match="no network for"):
        check_slices(networks.alone, coded(encoded, (20, 21, 4)))


def test_slices_like_their_neighbours_are_cheaper_between_them() -> None:
    codec = Codec.load("generic", device="cpu")
    found = codec.model.codec_for((64, 60, 17))[0].slices
    assert found is not None
    assert found.predicted is not None
    values = stack((64, 60, 17), 0.95)
    alone, between = (
        SlicedEncoder(found, values, 2, (0, 0, 0), octaves).encode(1024, 0.08).nbytes
        for octaves in (0, 3)
    )
    assert between < 0.7 * alone


def stack(shape: tuple[int, int, int], alike: float) -> np.ndarray:
    """Slices with noise, more or less alike."""
    first, others = (
        smooth((*shape[:2], 1), 0),
        np.stack([smooth(shape[:2], 1 + n) for n in range(shape[2])], -1),
    )
    noise = np.random.default_rng(0).normal(size=shape)
    return np.rint(alike * first + (1 - alike) * others + 2 * noise + 1000)


def test_slices_are_images_where_that_pays() -> None:
    codec = Codec.load("generic", device="cpu")
    for alike, expected in ((0.0, True), (1.0, False)):
        values = stack((64, 60, 10), alike)
        volume = lifting(codec.model.networks[3])
        whole = TextureEncoder(volume, values, (1.0, 1.0, 6.0))
        networks = codec.model.codec_for(values.shape)[0].slices
        assert networks is not None
        images = SliceNetworks(networks.images)
        trial = try_slices(whole, images, [Way(2, 0)], 0.05, Start(2048), 0.08)
        assert trial.way == (Way(2, 0) if expected else None)


def test_where_the_middle_does_not_decide_more_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, values = Codec.load("generic", device="cpu"), stack((64, 60, 36), 0.5)
    volume, networks = (
        codec.model.networks[3],
        codec.model.codec_for(values.shape)[0].slices,
    )
    assert networks is not None
    whole = TextureEncoder(lifting(volume), values, (1.0, 1.0, 6.0))
    tried: list[int] = []
    middle = whole.middle_slices
    monkeypatch.setattr(
        whole,
        "middle_slices",
        lambda voxels, **given: tried.append(voxels) or middle(voxels, **given),
    )
    part = 64 * 60 * 8
    monkeypatch.setattr("deepstd.codec.slice_decision._TRIAL_VOXELS", part)
    for doubt in (0.0, 9.0):
        monkeypatch.setattr("deepstd.codec.slice_decision._DOUBT", doubt)
        try_slices(whole, networks.alone, [Way(2, 0)], 0.1, Start(2048), 0.08)
    assert tried == [part, part, 4 * part]


def test_slices_along_smooth_axes_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec.load("generic", device="cpu")
    values = gaussian_filter(np.random.default_rng(0).normal(0, 900, (36, 40, 38)), (1, 1, 4))
    volume, networks = codec.model.networks[3], codec.model.codec_for(values.shape)[0].slices
    assert networks is not None
    whole = TextureEncoder(lifting(volume), values.astype(np.float32), (1.0, 1.0, 1.0))
    made: list[int] = []
    of = SlicedEncoder.of
    monkeypatch.setattr(
        SlicedEncoder,
        "of",
        lambda part, own, axis, octaves: made.append(axis) or of(part, own, axis, octaves),
    )
    tried = [Way(axis, 2) for axis in (2, 1, 0)]
    try_slices(whole, networks, tried, 0.1, Start(2048), 0.08)
    assert set(made) == {0, 1}
    made.clear()
    try_slices(whole, networks, tried[:1], 0.1, Start(2048), 0.08)
    assert set(made) == {2}  # the only one


def test_what_slices_cannot_reach_a_volume_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "deepstd.codec.encoder.try_slices", lambda *given: Trial(Way(2, 0), Start(2048))
    )
    codec = Codec.load("generic", device="cpu")
    voxels = stack((32, 30, 40), 0.0).astype(np.int16)
    volume = Volume(voxels, np.diag([1.0, 1.0, 6.0, 1.0]))
    sliced = []
    for max_bytes in (4000, 190):
        data = codec.compress(volume, max_bytes=max_bytes, effort="fast")
        assert 0.997 * max_bytes <= len(data) <= max_bytes
        cursor = Cursor(parse(data, "x").frames[0].texture, "x", "texture")
        sliced.append(TextureHeader.read(cursor, 3).sliced)
    assert sliced == [2, None]


def test_efforts_decide_whether_slices_may_lie_between_others() -> None:
    codec = Codec.load("generic", device="cpu")
    # Sharp edges that lean.
    scene = np.where(smooth((96, 96)) > 300, 900, 200)
    voxels = np.stack([scene[k : k + 64, k : k + 60] for k in range(0, 34, 2)], -1)
    voxels = (voxels + np.random.default_rng(0).normal(0, 8, voxels.shape)).astype(np.int16)
    volume = Volume(voxels, np.diag([1.0, 1.0, 2.0, 1.0]))
    octaves = {}
    for effort in ("fast", "normal"):
        data = codec.compress(volume, bpv=0.3, effort=effort)
        head = TextureHeader.read(Cursor(parse(data, "x").frames[0].texture, "x", "texture"), 3)
        octaves[effort] = head.octaves
        error = codec.decompress(data).voxels.astype(float) - voxels
        assert error.var() < 0.1 * voxels.var()
    assert octaves == {"fast": 0, "normal": 3}
    assert EFFORTS["normal"].between_for(512 * 512 * 100)
    assert not EFFORTS["normal"].between_for(512 * 512 * 275)
    assert EFFORTS["best"].between_for(512 * 512 * 275)


@pytest.mark.parametrize("frames", [(), (2,)])
def test_a_scan_of_thick_slices_comes_back(frames: tuple[int, ...]) -> None:
    codec = Codec.load("generic", device="cpu")
    voxels = stack((64, 60, 10), 0.0).astype(np.int16)
    if frames:
        voxels = np.stack([voxels, voxels[::-1]], -1)
    volume = Volume(voxels, np.diag([1.0, 1.0, 6.0, 1.0]))
    data = codec.compress(volume, bpv=0.4, effort="fast")
    assert 0.997 * 0.4 <= 8 * len(data) / voxels.size <= 0.4
    container = parse(data, "x")
    head = TextureHeader.read(Cursor(container.frames[0].texture, "x", "texture"), 3)
    assert head.sliced == 2
    restored = codec.decompress(data)
    error = np.square(restored.voxels.astype(float) - voxels).mean()
    assert error < 0.1 * voxels.var()
    half = codec.preview(container, 1)
    assert half.voxels.shape == (32, 30, 10, *frames)
    assert np.corrcoef(half.voxels.ravel(), voxels[::2, ::2].ravel())[0, 1] > 0.9
