"""Random networks, levels and grey values for the native engine.

seed ─▶ WaveletNetwork with random weights, Level of a random grid, smooth grey values
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepstd.coding.tables import parametric_tables
from deepstd.devices import CPU
from deepstd.texture.entropy.context import (
    ContextConfig,
    ContextModel,
    LevelContext,
    condition_vector,
    layer_sizes,
)
from deepstd.texture.entropy.integer import FEATURE_MAX, MAX_SHIFT, WholeConv
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.entropy.symbols import EncoderSource
from deepstd.texture.filters.postfilter import PostFilter
from deepstd.texture.tiling import Region
from deepstd.texture.wavelet.levels import Level, TemplatePyramid
from deepstd.texture.wavelet.lifting import subband_mask
from deepstd.texture.wavelet.network import TextureConfig, WaveletNetwork

TABLES = parametric_tables()
FACTOR = 64.0
"""Fixed-point units of a step."""
Random = np.random.Generator


class Scene(NamedTuple):
    """A level, a tile of it, and a source of random coefficients for the tile."""

    level: Level
    region: Region
    targets: np.ndarray

    def encoded(self, rate_weight: float = 0.1) -> bytes:
        """Return the stream of the tile."""
        source = EncoderSource(
            *(TABLES, np.zeros(1), [self.targets], FACTOR, rate_weight),
            symbol_savings(TABLES),
        )
        source.begin_tile(0, self.region)
        self.level.code(self.region, source, CPU.first)
        return source.stream.finish()


def scene(random: Random, ndim: int, *, template: bool, most: int) -> Scene:
    """Return a random level of at most ``most`` samples along an axis, and a tile of it."""
    config = ContextConfig(ndim, (int(random.choice([2, 8, 17, 40])),), template)
    fine = tuple(random.integers(2, most + 1, ndim).tolist())
    axes = tuple(a for a in range(ndim) if a == ndim - 1 or random.random() < 0.8)
    grid = tuple((n + 1) // 2 if a in axes else n for a, n in enumerate(fine))
    parent_axes = tuple(a for a in range(ndim) if random.random() < 0.7)
    coarse = tuple((n + 1) // 2 if a in parent_axes else n for a, n in enumerate(grid))
    bands, size = config.bands, 10.0 ** random.integers(0, 5)
    parents, pyramid = None, None
    if random.random() < 0.7:
        high = FEATURE_MAX + 1
        parents = random.integers(1 - high, high, (1, bands, *coarse)).astype(np.float32)
    if template:
        places = random.integers(-64, 65, (1, ndim, *grid)).astype(float)
        low, high = (np.floor(random.normal(size=(1, n, *grid)) * size) for n in (1, bands))
        pyramid = TemplatePyramid([low], [high], [places])
    level = Level(
        *(context_model(random, config), 0, condition_vector(config, 90, axes, 0)),
        *(subband_mask(fine, axes), config.passes),
        *(np.floor(random.normal(size=(1, 1, *grid)) * size), parents, parent_axes, pyramid),
        *(axes, fine),
    )
    region = tuple(slice(*_span(random, n)) for n in grid)
    return Scene(level, region, random.normal(size=(1, bands, *grid)) * size / FACTOR)


def _span(random: Random, length: int) -> tuple[int, int]:
    begin = int(random.integers(0, length)) if random.random() < 0.5 else 0
    return begin, int(random.integers(begin + 1, length + 1))


def context_model(random: Random, config: ContextConfig) -> ContextModel:
    """Return a context model of random weights, as large as exact sums allow."""
    levels = []
    for width in config.widths:
        layers = {}
        for name, size in layer_sizes(config, width).items():
            weight = random.normal(0, 20, size.kernel(config.ndim)).round().astype(np.int16)
            bias = random.normal(0, 2000, size.outputs).round().astype(np.int32)
            layers[name] = WholeConv(weight, bias, int(random.integers(5, MAX_SHIFT + 1)))
        levels.append(LevelContext(config, layers))
    return ContextModel(config, levels)


def post_filter(
    random: Random, ndim: int, width: int, blocks: int, *, template: bool
) -> PostFilter:
    """Return a post-filter of random weights."""
    cells, kernel = 2**ndim, (3,) * ndim
    conditions = ContextConfig(ndim, (width,), template).conditions
    sizes = {"entry": (width, cells * (1 + template), *kernel)}
    for block in range(blocks):
        for part in ("first", "second"):
            sizes[f"blocks.{block}.{part}"] = (width, width, *kernel)
    sizes |= {"exit": (cells, width, *[1] * ndim), "condition": (width, conditions)}
    arrays = {}
    for name, size in sizes.items():
        spread = 1 / np.sqrt(np.prod(size[1:]))
        arrays[f"{name}.weight"] = (random.normal(size=size) * spread).astype(np.float16)
        arrays[f"{name}.bias"] = random.normal(size=size[:1]).astype(np.float16)
    return PostFilter.from_arrays(arrays, ndim, template)


def network(random: Random, ndim: int, *, template: bool) -> WaveletNetwork:
    """Return a small network of random weights."""
    config = TextureConfig(ndim, (8, 12), template, 6, 1)
    return WaveletNetwork(
        config,
        context_model(random, config.context),
        post_filter(random, ndim, 6, 1, template=template),
        TABLES,
        {},
    )


def smooth(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """Return grey values with much structure and little detail, (*shape) float64."""
    x = random.normal(size=shape)
    for axis in range(len(shape)):
        x = np.cumsum(x, axis) / np.sqrt(shape[axis])
    return x * 100 + 300
