"""A tile with its surroundings gives what the whole grid gives there, to the last bit."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.texture.entropy.context import HALO, ContextConfig
from deepstd.texture.networks.context import LevelContext
from deepstd.texture.networks.features import upsample
from deepstd.texture.tiling import Region, Window

CONFIGS = {ndim: ContextConfig(ndim, (6,), template=False) for ndim in (2, 3)}


@st.composite
def regions(draw: st.DrawFn) -> tuple[tuple[int, ...], Region]:
    """A grid and a part of it."""
    ndim = draw(st.sampled_from((2, 3)))
    grid = tuple(draw(st.integers(1, 21 if ndim == 2 else 14)) for _ in range(ndim))
    starts = [draw(st.integers(0, n - 1)) for n in grid]
    stops = [draw(st.integers(s + 1, n)) for s, n in zip(starts, grid, strict=True)]
    return grid, tuple(map(slice, starts, stops))


@given(regions(), st.integers(0, 9))
def test_activations_do_not_depend_on_the_tile(
    part: tuple[tuple[int, ...], Region], seed: int
) -> None:
    grid, region = part
    config = CONFIGS[len(grid)]
    torch.manual_seed(seed)
    model = LevelContext(config, 6).requires_grad_(False)
    torch.nn.init.normal_(model.fourth.weight, std=0.1)
    features = torch.randint(-127, 128, (2, config.features, *grid)).float()
    condition = torch.randint(0, 33, (2, config.conditions, *[1] * len(grid))).float()
    window = Window.around(region, grid, HALO)
    own = model.hidden(features[(..., *window.outer)], condition, window.borders)
    whole = model.hidden(features, condition)
    assert torch.equal(own[(..., *window.kept)], whole[(..., *region)])


@given(regions(), st.data())
def test_a_part_of_the_finer_grid(
    part: tuple[tuple[int, ...], Region], data: st.DataObject
) -> None:
    grid, region = part
    axes = sorted(data.draw(st.sets(st.sampled_from(range(len(grid))))))
    coarse = [(n + 1) // 2 if a in axes else n for a, n in enumerate(grid)]
    x = torch.rand(1, 2, *coarse)
    everywhere = [slice(0, n) for n in grid]
    assert torch.equal(upsample(x, axes, region), upsample(x, axes, everywhere)[(..., *region)])
