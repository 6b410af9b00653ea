"""The wavelet in torch: perfect on whole numbers, and orthonormal enough."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.texture.networks.lifting import decompose, merge
from deepstd.texture.wavelet.lifting import Plan, grid_shapes, split_plan

SHAPES = st.lists(st.integers(1, 12), min_size=2, max_size=3).map(tuple)


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, 1, *shape), generator=generator, dtype=torch.float64) * 4096


def rebuild(
    lows: list[torch.Tensor], highs: list[torch.Tensor], shape: tuple[int, ...], plan: Plan
) -> torch.Tensor:
    low = torch.round(lows[-1])
    shapes = grid_shapes(shape, plan)
    for level in range(len(plan) - 1, -1, -1):
        low = merge(low, torch.round(highs[level]), plan[level], shapes[level])
    return low


@given(SHAPES, st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_every_size_comes_back(shape: tuple[int, ...], coarse: list[int]) -> None:
    plan = split_plan(shape, coarse[: len(shape)])
    x = noise(shape)
    if not plan:
        assert math.prod(shape) == 1
        return
    lows, highs = decompose(x, plan)
    assert lows[-1].numel() == 1
    # A few roundings a level, spread over the levels.
    assert (rebuild(lows, highs, shape, plan) - x).abs().max() < 6 * len(plan) + 2


def test_error_energy_is_nearly_kept() -> None:
    shape = (64, 64)
    plan = split_plan(shape, (0, 0))
    shapes = grid_shapes(shape, plan)
    for level in range(3):
        energies = []
        for band in range(3):
            high = torch.zeros((1, 3, *shapes[level + 1]), dtype=torch.float64)
            high[0, band] = noise(shapes[level + 1], band)[0, 0]
            low = torch.zeros((1, 1, *shapes[level + 1]), dtype=torch.float64)
            x = merge(torch.round(low), torch.round(high), plan[level], shapes[level])
            energies.append(float(x.square().sum() / high.square().sum()))
        assert all(0.75 < e < 1.35 for e in energies)
