"""Tiles that the engine codes are those of the reference: symbols, bytes, coefficients, errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.coding.tables import parametric_tables
from deepstd.engine import library, tiles
from deepstd.texture.entropy import native_tile
from deepstd.texture.networks.context import ContextConfig, LevelContext, condition_vector
from deepstd.texture.networks.integer import ExactConv
from deepstd.texture.entropy.native_context import native_context
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.entropy.symbols import DecoderSource, EncoderSource, Together
from deepstd.texture.tiling import Region
from deepstd.texture.networks.levels import Level, TemplatePyramid
from deepstd.texture.networks.lifting import subband_mask

pytestmark = pytest.mark.skipif(
    library.engine() is None, reason="the native engine is not built here"
)
TABLES = parametric_tables()
FACTOR = 64.0


def finished_model(config: ContextConfig, seed: int) -> LevelContext:
    torch.manual_seed(seed)
    model = LevelContext(config, config.widths[0])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    for layer in model.modules():
        if isinstance(layer, ExactConv):
            layer.load_integers(layer.to_integers())
    return model.requires_grad_(False)


@dataclass(frozen=True)
class Scene:
    """A random level of some scans, a tile of it, and what the tile's coefficients should be."""

    level: Level
    region: Region
    targets: torch.Tensor
    corrections: torch.Tensor | None
    weights: tuple[float, float]

    def coded(self) -> tuple[list[bytes], torch.Tensor, list[torch.Tensor], list[np.ndarray]]:
        """Streams, coefficients, errors and symbols."""
        savings = symbol_savings(TABLES, "cpu")
        last = self.level.model._config.passes - 1, self.weights[1]
        errors = [torch.zeros(t[None].shape, dtype=torch.float32) for t in self.targets]
        corrections = () if self.corrections is None else [self.corrections]
        sources = [
            EncoderSource(
                *(TABLES, torch.zeros(1), [target[None]], FACTOR, self.weights[0], savings),
                *(corrections, [error], last),
            )
            for target, error in zip(self.targets, errors, strict=True)
        ]
        together = Together(sources)
        together.begin_tile(0, self.region)
        values = self.level.code(self.region, together)
        symbols = [np.concatenate([s.astype(int) for s in x.symbols_coded]) for x in sources]
        return [source.stream.finish() for source in sources], values, errors, symbols

    def decoded(self, streams: list[bytes]) -> torch.Tensor:
        """Coefficients of the tile."""
        source = Together([DecoderSource(TABLES, stream) for stream in streams])
        source.begin_tile(0, self.region)
        return self.level.code(self.region, source)


def whole(shape: tuple[int, ...], size: float) -> torch.Tensor:
    return torch.floor(torch.randn(shape, dtype=torch.float64) * size)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    ndim = draw(st.sampled_from([2, 3]))
    template, batch = draw(st.booleans()), draw(st.integers(1, 2))
    width = draw(st.sampled_from([2, 8, 17, 24, 40, 64]))
    config = ContextConfig(ndim, (width,), template)
    seed = draw(st.integers(0, 2**16))
    model = finished_model(config, seed)
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
        parents = torch.randint(-127, 128, (batch, bands, *coarse)).float()
    pyramid = None
    if template:
        places = torch.randint(-64, 65, (batch, ndim, *grid)).double()
        pyramid = TemplatePyramid(
            [whole((batch, 1, *grid), size)], [whole((batch, bands, *grid), size)], [places]
        )
    conditions = [condition_vector(config, 90 + 50 * n, axes, 0) for n in range(batch)]
    level = Level(
        *(model, 0, torch.cat(conditions), subband_mask(fine, axes), config.passes),
        *(whole((batch, 1, *grid), size), parents, parent_axes, pyramid, axes, fine),
        *(torch.float64, torch.float32),
    )
    targets = torch.randn((batch, bands, *grid), dtype=torch.float64) * size / 64
    corrections = None
    if draw(st.booleans()):
        corrections = 0.3 * torch.randn((1, bands, *grid))
    return Scene(level, region, targets, corrections, (draw(st.floats(0, 0.4)), 0.1))


def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.DISABLED, "1")
    library.engine.cache_clear()


@settings(max_examples=40, deadline=None)
@given(scenes(), st.sampled_from([0, 1, 2]))
def test_streams_and_coefficients_are_the_reference_s(scene: Scene, instructions: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(native_tile, "_BEST", instructions)
        native = scene.coded()
        read = scene.decoded(native[0])
        without_engine(monkeypatch)
        reference = scene.coded()
    library.engine.cache_clear()
    assert native[0] == reference[0]
    assert torch.equal(native[1], reference[1])
    assert torch.equal(read, native[1])
    for ours, theirs in zip(native[2], reference[2], strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(native[3], reference[3], strict=True):
        assert np.array_equal(ours, theirs)


def test_threads_share_a_tile_and_change_nothing() -> None:
    config = ContextConfig(3, (40,), False)
    torch.manual_seed(0)
    grid = (30, 31, 32)
    level = Level(
        *(finished_model(config, 1), 0, condition_vector(config, 90, (0, 1, 2), 0)),
        *(subband_mask((60, 62, 64), (0, 1, 2)), config.passes, whole((1, 1, *grid), 100)),
        *(None, (), None, (0, 1, 2), (60, 62, 64), torch.float64, torch.float32),
    )
    targets = torch.randn((1, 7, *grid), dtype=torch.float64)
    scene = Scene(level, tuple(slice(0, n) for n in grid), targets, None, (0.1, 0.1))
    before, streams = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        streams.append(scene.coded()[0])
    torch.set_num_threads(before)
    assert streams[0] == streams[1]


def test_a_model_in_training_has_no_native_version() -> None:
    model = LevelContext(ContextConfig(2, (8,), False), 8)
    assert native_context(model) is None


def test_records_have_room_for_all_passes() -> None:
    assert ContextConfig(2, (8,), False).passes <= tiles.MOST_PASSES
