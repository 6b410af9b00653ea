"""The post-filter: no seams between tiles, nothing done by an untrained one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.devices import CPU
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.networks.postfilter import PostFilter, restore
from deepstd.texture.tiling import TileEdges, fold, unfold

CONDITIONS = 5


def filtered(ndim: int, blocks: int, *, template: bool = False) -> PostFilter:
    """A post-filter whose last layer does something."""
    torch.manual_seed(0)
    made = PostFilter(ndim, 6, blocks, template, CONDITIONS)
    torch.nn.init.normal_(made.exit.weight, std=0.3)
    return made.requires_grad_(False)


def reconstruction(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, 1, *shape), generator=generator) * 3 * UNITS_PER_STEP


@given(st.lists(st.integers(1, 5), min_size=2, max_size=3), st.integers(1, 3))
def test_unfold_undoes_fold(halves: list[int], channels: int) -> None:
    x = torch.arange(2.0 ** len(halves) * np.prod(halves) * channels)
    x = x.reshape(1, channels, *(2 * n for n in halves))
    assert torch.equal(unfold(fold(x), channels), x)


@pytest.mark.parametrize(("ndim", "shape"), [(2, (150, 71)), (3, (75, 40, 33))])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("template", [False, True])
def test_tiles_leave_no_seams(
    ndim: int, shape: tuple[int, ...], blocks: int, template: bool
) -> None:
    net = filtered(ndim, blocks, template=template)
    low, seen = reconstruction(shape), reconstruction(shape, 1) if template else None
    condition = torch.ones((1, CONDITIONS, *[1] * ndim))
    whole = net(low, seen, condition)[0, 0].numpy()
    assert np.abs(whole - low[0, 0].numpy() / UNITS_PER_STEP).max() > 0.1
    np.testing.assert_allclose(
        restore({CPU.first: net}, low, seen, condition, CPU, TileEdges(32, 32)), whole, atol=1e-4
    )


def test_an_untrained_filter_changes_nothing() -> None:
    low = reconstruction((9, 7, 5))
    net = PostFilter(3, 4, 1, False, CONDITIONS).requires_grad_(False)
    restored = restore({CPU.first: net}, low, None, torch.ones((1, CONDITIONS, 1, 1, 1)), CPU)
    np.testing.assert_array_equal(restored, low[0, 0].numpy() / UNITS_PER_STEP)
