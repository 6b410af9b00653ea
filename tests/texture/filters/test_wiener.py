"""The Wiener filter: as its definition says, without seams, and worth its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textures import smooth

from deepstd.codec.codec import Codec
from deepstd.coding.tables import parametric_tables
from deepstd.container import parse
from deepstd.engine import library
from deepstd.errors import DamagedError
from deepstd.texture.filters import wiener, wiener_fit
from deepstd.texture.filters.wiener import Knots, WienerFilter, half_neighbourhood
from deepstd.texture.filters.wiener_fit import MOST_BYTES, RestoredFrame, best_filter
from deepstd.texture.tiling import TileEdges
from deepstd.threads import limited_to
from deepstd.volume import Volume
from tests.helpers.chunks import without_filter

TABLES = parametric_tables()
SMALL = TileEdges(8, 8)


def some_filter(ndim: int, count: int = 4, limit: int = 3, seed: int = 0) -> WienerFilter:
    random = np.random.default_rng(seed)
    coefficients = random.integers(-9, 10, (count, len(half_neighbourhood(ndim))))
    return WienerFilter(limit, Knots(count, -20, 40), coefficients)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.6, shape).astype(np.float32)


def by_definition(filtered: WienerFilter, steps: np.ndarray) -> np.ndarray:
    """The filter voxel by voxel."""
    limit, knots = 2.0 ** (filtered.limit - 3), filtered.knots
    padded = np.pad(steps.astype(np.float64), 2, mode="edge")
    result = steps.astype(np.float64)
    for place in product(*map(range, steps.shape)):
        here = np.array(place) + 2
        centre = padded[tuple(here)]
        found = np.array(
            [
                sum(np.clip(padded[tuple(here + s * o)] - centre, -limit, limit) for s in (1, -1))
                for o in map(np.array, half_neighbourhood(steps.ndim))
            ]
        )
        octaves = np.log2(np.sqrt(np.mean(found**2)) + 2.0**-8)
        at = np.clip((8 * octaves - knots.lowest) / knots.span * (knots.count - 1), 0, None)
        weights = [
            np.interp(at, np.arange(knots.count), column) / 128
            for column in filtered.coefficients.T
        ]
        result[place] += weights @ found
    return result


@pytest.fixture(params=["engine", "arrays"])
def engine_or_not(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine, or what stands in for it."""
    if request.param == "arrays":
        monkeypatch.setattr(wiener, "engine", lambda: None)
    elif library.engine() is None:
        pytest.skip("the native engine is not built here")
    return request.param


@pytest.mark.parametrize("shape", [(7, 5), (1, 9), (4, 5, 3), (2, 1, 6), (2, 300)])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.usefixtures("engine_or_not")
def test_it_computes_what_its_definition_says(shape: tuple[int, ...], count: int) -> None:
    filtered = some_filter(len(shape), count)
    steps = noise(shape)
    expected = by_definition(filtered, steps)
    assert np.abs(expected - steps).max() > 0.05
    np.testing.assert_allclose(filtered.apply(steps), expected, atol=1e-5)


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=3).map(tuple),
    st.integers(1, 16),
    st.integers(0, 7),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
)
def test_tiles_leave_no_trace(
    shape: tuple[int, ...], count: int, limit: int, span: int, seed: int
) -> None:
    plain = some_filter(len(shape), count, limit, seed)
    filtered = WienerFilter(limit, Knots(count, -30, span), plain.coefficients)
    steps = noise(shape, seed)
    whole = filtered.apply_in_tiles(steps, TileEdges(64, 64))
    np.testing.assert_allclose(filtered.apply_in_tiles(steps, SMALL), whole, atol=2e-5)
    if library.engine() is not None:
        for threads in (1, 3):
            with limited_to(threads):
                np.testing.assert_allclose(filtered.apply(steps), whole, atol=2e-5)


@pytest.mark.usefixtures("engine_or_not")
def test_a_filter_of_other_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"coefficients|mismatch"):
        some_filter(2).apply(noise((4, 5, 6)))


def test_machines_that_round_otherwise_agree() -> None:
    filtered, steps = some_filter(3, 8), noise((20, 20, 20))
    other = steps + noise(steps.shape, 1) * np.float32(1e-6)
    assert np.abs(filtered.apply(other) - filtered.apply(steps)).max() < 1e-4


@given(
    st.integers(1, 16),
    st.integers(0, 7),
    st.integers(-128, 127),
    st.integers(0, 255),
    st.sampled_from([2, 3]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 3, 2048]),
)
def test_bytes_come_back(
    count: int, limit: int, lowest: int, span: int, ndim: int, seed: int, largest: int
) -> None:
    random = np.random.default_rng(seed)
    coefficients = random.integers(-largest, largest + 1, (count, len(half_neighbourhood(ndim))))
    made = WienerFilter(limit, Knots(count, lowest, span), coefficients)
    back = WienerFilter.unpack(made.pack(TABLES), ndim, TABLES, "f")
    assert (back.limit, back.knots) == (made.limit, made.knots)
    np.testing.assert_array_equal(back.coefficients, coefficients)


def damaged_payloads() -> Iterator[bytes]:
    packed = some_filter(3).pack(TABLES)
    yield from (packed[:length] for length in range(5))
    yield b"\xff" + packed[1:]  # no such limit
    yield packed[:3] + b"\x40" + packed[4:]  # no such scale
    far = WienerFilter(3, Knots(1, 0, 0), np.full((1, len(half_neighbourhood(3))), 5000))
    yield far.pack(TABLES)


@pytest.mark.parametrize("payload", list(damaged_payloads()))
def test_damage_is_told(payload: bytes) -> None:
    with pytest.raises(DamagedError, match=r"^scan\.dstd is damaged: Wiener filter: .*verify"):
        WienerFilter.unpack(payload, 3, TABLES, "scan.dstd")


class TestFit:
    def test_noise_on_a_smooth_scan_is_filtered_out(self) -> None:
        true = smooth((40, 40, 30)).astype(np.float32) / 40
        noisy = true + noise(true.shape)
        packed = best_filter([RestoredFrame(noisy, true, 1.0, 0.0)], 5000, TABLES)
        assert packed is not None
        assert len(packed) <= MOST_BYTES
        result = WienerFilter.unpack(packed, 3, TABLES, "f").apply(noisy)
        assert np.square(result - true).mean() < 0.25 * np.square(noisy - true).mean()

    def test_frames_share_a_filter_in_units_of_their_steps(self) -> None:
        true = smooth((40, 40, 12)) / 40.0
        noisy = (true + noise(true.shape)).astype(np.float32)
        frames = [
            RestoredFrame(noisy, true, 1.0, 0.0),
            RestoredFrame(noisy, 50 * true - 7, 50.0, -7.0),
        ]
        assert best_filter(frames, 10**6, TABLES) == best_filter(frames[:1], 10**6, TABLES)

    def test_none_where_nothing_is_to_be_gained(self) -> None:
        true = noise((200, 150))
        assert best_filter([RestoredFrame(true, true, 1.0, 0.0)], 5000, TABLES) is None
        unlike = true + noise(true.shape, 1) * np.float32(0.01)
        assert best_filter([RestoredFrame(unlike, true, 1.0, 0.0)], 500, TABLES) is None

    def test_voxels_that_a_decoder_knows_do_not_count(self) -> None:
        true = smooth((40, 40, 12)).astype(np.float32) / 40
        noisy = true + noise(true.shape)
        ignored = np.zeros(true.shape, dtype=bool)
        ignored[20:] = True
        wrong = np.where(ignored, -100 * true, true)
        fits = [
            best_filter([RestoredFrame(noisy, of, 1.0, 0.0, ignored=ignored)], 5000, TABLES)
            for of in (true, wrong)
        ]
        assert fits[0] is not None
        assert fits[0] == fits[1]

    def test_what_is_cut_off_at_a_bound_does_not_count(self) -> None:
        true = smooth((80, 60)).astype(np.float32) / 40
        restored = true + noise(true.shape)
        true[:40] = 0
        restored[:40] = -np.abs(restored[:40])
        frame = RestoredFrame(restored, true, 1.0, 0.0, bounds=(0.0, 255.0))
        ignored = np.zeros(true.shape, dtype=bool)
        ignored[:40] = True
        assert best_filter([frame], 5000, TABLES) is not None
        same = best_filter([frame._replace(ignored=ignored)], 5000, TABLES)
        assert best_filter([frame], 5000, TABLES) == same
        assert best_filter([frame._replace(bounds=(-9.0, 255.0))], 5000, TABLES) != same

    def test_types_that_hold_more_than_float32_are_no_trouble(self) -> None:
        true = smooth((40, 40)) / 40
        frame = RestoredFrame((true + noise(true.shape)).astype(np.float32), true, 1e-3, 0.0)
        bounds = (-np.finfo(np.float64).max, np.finfo(np.float64).max)
        scaled = frame._replace(values=true * 1e-3)
        assert best_filter([scaled._replace(bounds=bounds)], 5000, TABLES) == best_filter(
            [scaled], 5000, TABLES
        )

    def test_tiles_are_taken_from_everywhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wiener_fit, "_MOST_SEEN", 32**3 // 4)
        true = smooth((32, 32, 32)).astype(np.float32) / 40
        true[..., :8] = 0  # a border of air, one tile wide
        noisy = true + noise(true.shape) * (true != 0)
        packed = best_filter([RestoredFrame(noisy, true, 1.0, 0.0)], 50000, TABLES, SMALL)
        assert packed is not None
        result = WienerFilter.unpack(packed, 3, TABLES, "f").apply(noisy)
        assert np.square(result - true).mean() < 0.4 * np.square(noisy - true).mean()

    def test_a_part_of_a_large_scan_stands_for_all_of_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wiener_fit, "_MOST_VOXELS", 1 << 12)
        true = np.zeros((96, 96, 60), dtype=np.float32)
        true[48:, 48:] = smooth((48, 48, 60)) / 40  # all else is air
        noisy = true + noise(true.shape) * (true != 0)
        packed = best_filter([RestoredFrame(noisy, true, 1.0, 0.0)], 50000, TABLES)
        assert packed is not None
        result = WienerFilter.unpack(packed, 3, TABLES, "f").apply(noisy)
        assert np.square(result - true).mean() < 0.4 * np.square(noisy - true).mean()

    def test_the_smaller_the_file_the_fewer_bytes(self) -> None:
        true = smooth((60, 50)).astype(np.float32) / 40
        noisy = true + noise(true.shape) * np.float32(0.3)
        frame = RestoredFrame(noisy, true, 1.0, 0.0)
        sizes = [len(best_filter([frame], n, TABLES) or b"") for n in (60, 600, 25000)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("effort", ["fast", "normal"])
def test_files_are_better_for_it(effort: str) -> None:
    x = smooth((36, 32, 20)).astype(np.float64)
    x += np.random.default_rng(0).normal(0, 6, x.shape)
    volume = Volume(x.round().astype(np.int16))
    codec = Codec.load("generic", device="cpu")
    data = codec.compress(volume, max_bytes=2500, effort=effort)
    assert 0.997 * 2500 <= len(data) <= 2500
    container = parse(data, "f")
    assert container.wiener is not None
    without = without_filter(container, codec)
    assert len(data) - len(without) <= MOST_BYTES + 7
    errors = [
        float(np.square(codec.decompress(each).voxels - x).mean()) for each in (data, without)
    ]
    assert errors[0] < 0.98 * errors[1]


@pytest.mark.parametrize("size", [77, 89, 101, 105])
def test_no_bytes_are_lost_where_there_is_no_room_for_a_filter(size: int) -> None:
    x = np.sin(np.indices((48, 48)).sum(0) / 5) * 40
    x += np.random.default_rng(0).normal(0, 2, x.shape)
    codec = Codec.load("generic", device="cpu")
    data = codec.compress(Volume(x.round().astype(np.int16)), max_bytes=size, effort="fast")
    assert size - 1 <= len(data) <= size
