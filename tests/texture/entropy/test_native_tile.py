"""Tiles that the engine codes are those of the reference: symbols, bytes, coefficients, errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instructions import limited

from deepstd.coding.tables import parametric_tables
from deepstd.devices import Device
from deepstd.engine import library, tiles
from deepstd.texture.entropy.context import (
    ContextConfig,
    ContextModel,
    LevelContext,
    condition_vector,
    layer_sizes,
)
from deepstd.texture.entropy.integer import MAX_SHIFT, WholeConv
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.entropy.symbols import DecoderSource, EncoderSource, Together
from deepstd.texture.tiling import Region
from deepstd.texture.wavelet.levels import Level, TemplatePyramid
from deepstd.texture.wavelet.lifting import subband_mask
from deepstd.threads import limited_to

pytestmark = pytest.mark.skipif(
    library.engine() is None, reason="the native engine is not built here"
)
TABLES = parametric_tables()
FACTOR = 64.0


def random_model(config: ContextConfig, seed: int) -> ContextModel:
    """A context model of random weights, as large as exact sums allow."""
    random, ndim, layers = np.random.default_rng(seed), config.ndim, {}
    for name, size in layer_sizes(config, config.widths[0]).items():
        weight = random.normal(0, 20, size.kernel(ndim)).round().astype(np.int16)
        bias = random.normal(0, 2000, size.outputs).round().astype(np.int32)
        shift = int(random.integers(5, MAX_SHIFT + 1))
        layers[name] = WholeConv(weight, bias, shift)
    return ContextModel(config, [LevelContext(config, layers)])


@dataclass(frozen=True)
class Scene:
    """A random level of some scans, a tile of it, and what the tile's coefficients should be."""

    level: Level
    region: Region
    targets: np.ndarray
    corrections: np.ndarray | None
    weights: tuple[float, float]

    def coded(self) -> tuple[list[bytes], np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Streams, coefficients, errors and symbols."""
        savings = symbol_savings(TABLES)
        last = self.level.passes - 1, self.weights[1]
        errors = [np.zeros(t[None].shape, np.float32) for t in self.targets]
        corrections = () if self.corrections is None else [self.corrections]
        sources = [
            EncoderSource(
                *(TABLES, np.zeros(1), [target[None]], FACTOR, self.weights[0], savings),
                *(corrections, [error], last),
            )
            for target, error in zip(self.targets, errors, strict=True)
        ]
        together = Together(sources)
        together.begin_tile(0, self.region)
        values = self.level.code(self.region, together, Device())
        symbols = [np.concatenate([s.astype(int) for s in x.symbols_coded]) for x in sources]
        return [source.stream.finish() for source in sources], values, errors, symbols

    def decoded(self, streams: list[bytes]) -> np.ndarray:
        """Coefficients of the tile."""
        source = Together([DecoderSource(TABLES, stream) for stream in streams])
        source.begin_tile(0, self.region)
        return self.level.code(self.region, source, Device())


def whole(random: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    return np.floor(random.normal(size=shape) * size)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    ndim = draw(st.sampled_from([2, 3]))
    template, batch = draw(st.booleans()), draw(st.integers(1, 2))
    width = draw(st.sampled_from([2, 8, 17, 24, 40, 64]))
    config = ContextConfig(ndim, (width,), template)
    seed = draw(st.integers(0, 2**16))
    random = np.random.default_rng(seed)
    fine = tuple(draw(st.integers(2, 26 if ndim == 3 else 90)) for _ in range(ndim))
    axes = tuple(a for a in range(ndim) if draw(st.integers(0, 3)) or a == ndim - 1)
    grid = tuple((n + 1) // 2 if a in axes else n for a, n in enumerate(fine))
    parent_axes = tuple(a for a in range(ndim) if draw(st.booleans()))
    coarse = tuple((n + 1) // 2 if a in parent_axes else n for a, n in enumerate(grid))
    edges = [sorted(draw(st.integers(0, n)) for _ in range(2)) for n in grid]
    region = tuple(
        slice(a, b) if a < b else slice(0, n) for (a, b), n in zip(edges, grid, strict=True)
    )
    bands, size = config.bands, 10.0 ** draw(st.integers(0, 4))
    parents = None
    if draw(st.booleans()):
        parents = random.integers(-127, 128, (batch, bands, *coarse)).astype(np.float32)
    pyramid = None
    if template:
        places = random.integers(-64, 65, (batch, ndim, *grid)).astype(float)
        lows, highs = (whole(random, (batch, n, *grid), size) for n in (1, bands))
        pyramid = TemplatePyramid([lows], [highs], [places])
    conditions = [condition_vector(config, 90 + 50 * n, axes, 0) for n in range(batch)]
    level = Level(
        *(random_model(config, seed), 0, np.concatenate(conditions)),
        *(subband_mask(fine, axes), config.passes),
        *(whole(random, (batch, 1, *grid), size), parents, parent_axes, pyramid, axes, fine),
    )
    targets = random.normal(size=(batch, bands, *grid)) * size / 64
    corrections = None
    if draw(st.booleans()):
        corrections = 0.3 * random.normal(size=(1, bands, *grid)).astype(np.float32)
    return Scene(level, region, targets, corrections, (draw(st.floats(0, 0.4)), 0.1))


def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.DISABLED, "1")
    library.engine.cache_clear()


@settings(max_examples=40, deadline=None)
@given(scenes(), st.sampled_from(library.LIMITS))
def test_streams_and_coefficients_are_the_reference_s(scene: Scene, instructions: str) -> None:
    with limited(instructions):
        native = scene.coded()
        read = scene.decoded(native[0])
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_engine(monkeypatch)
        reference = scene.coded()
    library.engine.cache_clear()
    assert native[0] == reference[0]
    assert np.array_equal(native[1], reference[1])
    assert np.array_equal(read, native[1])
    for ours, theirs in zip(native[2], reference[2], strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(native[3], reference[3], strict=True):
        assert np.array_equal(ours, theirs)


def test_threads_share_a_tile_and_change_nothing() -> None:
    config = ContextConfig(3, (40,), False)
    random, grid = np.random.default_rng(0), (30, 31, 32)
    level = Level(
        *(random_model(config, 1), 0, condition_vector(config, 90, (0, 1, 2), 0)),
        *(subband_mask((60, 62, 64), (0, 1, 2)), config.passes),
        *(whole(random, (1, 1, *grid), 100), None, (), None, (0, 1, 2), (60, 62, 64)),
    )
    targets = random.normal(size=(1, 7, *grid))
    scene = Scene(level, tuple(slice(0, n) for n in grid), targets, None, (0.1, 0.1))
    streams = []
    for threads in (1, 3):
        with limited_to(threads):
            streams.append(scene.coded()[0])
    assert streams[0] == streams[1]


def test_records_have_room_for_all_passes() -> None:
    assert ContextConfig(2, (8,), False).passes <= tiles.MOST_PASSES
