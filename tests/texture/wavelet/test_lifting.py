"""The wavelet: perfect on whole numbers, the same in slabs, and orthonormal enough."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.texture.wavelet import lifting
from deepstd.texture.networks.lifting import (
    coarseness,
    decompose,
    grid_shapes,
    merge,
    merge_in_slabs,
    split,
    split_plan,
    subband_mask,
)

SHAPES = st.lists(st.integers(1, 12), min_size=2, max_size=3).map(tuple)


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, 1, *shape), generator=generator, dtype=torch.float64) * 4096


def rebuild(
    lows: list[torch.Tensor], highs: list[torch.Tensor], shape: tuple[int, ...], plan: lifting.Plan
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


@given(SHAPES)
def test_coefficients_are_as_many_as_samples(shape: tuple[int, ...]) -> None:
    plan = split_plan(shape, (0,) * len(shape))
    shapes = grid_shapes(shape, plan)
    count = sum(int(subband_mask(s, axes).sum()) for s, axes in zip(shapes, plan, strict=False))
    assert count + 1 == math.prod(shape)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((33, 20, 17), (0, 1, 2)), ((32, 9, 5), (0, 1)), ((9, 20, 9), (1, 2)), ((40, 41), (0, 1))],
)
def test_slabs_change_no_bit(
    shape: tuple[int, ...], axes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifting, "_SLAB_SAMPLES", 500)
    low, high = split(noise(shape), axes, whole=True)
    assert torch.equal(
        merge(low, high, axes, shape).float(), merge_in_slabs(low, high, axes, shape)
    )


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


def test_thick_slices_are_split_last() -> None:
    plan = split_plan((64, 64, 16), coarseness((1.0, 1.0, 4.0), 3))
    assert plan[:3] == ((0, 1), (0, 1), (0, 1, 2))


@pytest.mark.parametrize("spacing", [None, (0.0, 1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_unusable_spacing_counts_as_equal(spacing: tuple[float, ...] | None) -> None:
    assert coarseness(spacing, 3) == (0, 0, 0)
