"""The wavelet in numpy and in the engine gives the bits of the version in torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.engine import library
from deepstd.texture.networks import lifting as networks
from deepstd.texture.wavelet import lifting, native_lifting, reference_lifting
from deepstd.texture.wavelet.lifting import (
    Plan,
    coarseness,
    decompose,
    grid_shapes,
    merge,
    split,
    split_plan,
    subband_mask,
    synthesis_adjoint,
)

# Computations: None is numpy, else a number of threads of the engine.
WAYS = [None] if library.engine() is None else [None, 1, 2, 3]


@contextmanager
def computed(threads: int | None, slab: int = 64) -> Iterator[None]:
    """Compute in the engine with some threads, or in numpy with small slabs."""
    with pytest.MonkeyPatch.context() as patch:
        if threads is None:
            patch.setattr(lifting, "engine", lambda: None)
        else:
            patch.setattr(lifting, "thread_count", lambda: threads)
        patch.setattr(native_lifting, "_SHARED_FROM", 0)
        patch.setattr(reference_lifting, "_SLAB_SAMPLES", slab)
        yield


def noise(shape: tuple[int, ...], seed: int, size: float = 4096.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, shape)


@st.composite
def plans(draw: st.DrawFn) -> tuple[tuple[int, ...], Plan, int, int]:
    """Shape, plan, batch and seed."""
    shape = tuple(draw(st.lists(st.integers(1, 20), min_size=2, max_size=3)))
    sizes = draw(st.lists(st.integers(0, 5), min_size=len(shape), max_size=len(shape)))
    return shape, split_plan(shape, sizes), draw(st.integers(1, 3)), draw(st.integers(0, 999))


each_way = pytest.mark.parametrize("threads", WAYS)


@each_way
@settings(deadline=None)
@given(plans())
def test_whole_subbands_are_those_of_torch(
    threads: int | None, case: tuple[tuple[int, ...], Plan, int, int]
) -> None:
    shape, plan, batch, seed = case
    x = np.rint(noise((batch, 1, *shape), seed))
    with computed(threads):
        lows, highs = decompose(x, plan, whole=True)
    wanted = networks.decompose(torch.from_numpy(x), plan, whole=True)
    for found, level in zip((*lows, *highs), (*wanted[0], *wanted[1]), strict=True):
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, level.numpy())


@each_way
@settings(deadline=None)
@given(plans(), st.sampled_from([np.float32, np.float64]))
def test_merged_samples_are_those_of_torch(
    threads: int | None, case: tuple[tuple[int, ...], Plan, int, int], dtype: type
) -> None:
    shape, plan, batch, seed = case
    shapes = grid_shapes(shape, plan)
    low = np.rint(noise((batch, 1, *shapes[-1]), seed))
    for level in range(len(plan) - 1, -1, -1):
        bands = 2 ** len(shape) - 1
        high = np.rint(noise((batch, bands, *shapes[level + 1]), seed + level)).astype(dtype)
        wanted = networks.merge(
            torch.from_numpy(low), torch.from_numpy(high).double(), plan[level], shapes[level]
        ).numpy()
        with computed(threads):
            exact = merge(low, high, plan[level], shapes[level])
            stored = merge(low, high, plan[level], shapes[level], np.float32)
        assert (exact.dtype, stored.dtype) == (np.float64, np.float32)
        np.testing.assert_array_equal(exact, wanted)
        np.testing.assert_array_equal(stored, wanted.astype(np.float32))
        low = exact


@each_way
@settings(deadline=None)
@given(plans())
def test_subbands_in_floats_are_near_those_of_torch(
    threads: int | None, case: tuple[tuple[int, ...], Plan, int, int]
) -> None:
    shape, plan, batch, seed = case
    x = noise((batch, 1, *shape), seed, 1.0).astype(np.float32)
    with computed(None):
        reference = decompose(x, plan)
    with computed(threads):
        lows, highs = decompose(x, plan)
    wanted = networks.decompose(torch.from_numpy(x).double(), plan)
    for found, same, level in zip(
        (*lows, *highs), (*reference[0], *reference[1]), (*wanted[0], *wanted[1]), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, same)
        np.testing.assert_allclose(found, level.numpy(), rtol=0, atol=3e-5)


@each_way
@settings(deadline=None)
@given(plans())
def test_the_adjoint_transposes_the_merge(
    threads: int | None, case: tuple[tuple[int, ...], Plan, int, int]
) -> None:
    shape, plan, batch, seed = case
    shapes, gradient = grid_shapes(shape, plan), noise((batch, 1, *shape), seed, 1.0)
    with computed(None):
        reference = synthesis_adjoint(gradient, plan, 3)
    with computed(threads):
        found = synthesis_adjoint(gradient, plan, 3)
        narrow = synthesis_adjoint(gradient.astype(np.float32), plan, 3)
    for level, other, near in zip(found, reference, narrow, strict=True):
        np.testing.assert_array_equal(level, other)
        assert near.dtype == np.float32
        np.testing.assert_allclose(near, level, rtol=0, atol=3e-5)
    if not plan:
        return
    # <merge' g, c> = <g, merge c>, where merging is linear: without rounding, under a gradient.
    highs = [noise(level.shape, seed + 1 + n, 1.0) for n, level in enumerate(found)]
    parts = [torch.from_numpy(high).requires_grad_() for high in highs]
    merged = torch.zeros((batch, 1, *shapes[len(highs)]), dtype=torch.float64, requires_grad=True)
    for n in range(len(highs) - 1, -1, -1):
        merged = networks.merge(merged, parts[n], plan[n], shapes[n])
    inner = sum(float((level * high).sum()) for level, high in zip(found, highs, strict=True))
    outer = float((gradient * merged.detach().numpy()).sum())
    assert inner == pytest.approx(outer, abs=1e-9)


@each_way
@pytest.mark.parametrize("shape", [(2048 * 2 + 5, 7), (5, 2500, 4), (4, 3, 5000), (37, 40, 31)])
def test_long_axes_change_nothing(threads: int | None, shape: tuple[int, ...]) -> None:
    x, axes = np.rint(noise((2, 1, *shape), 0)), tuple(range(len(shape)))
    wanted = networks.split(torch.from_numpy(x), axes, whole=True)
    with computed(threads, slab=10_000):
        low, high = split(x, axes, whole=True)
        merged = merge(low, high, axes, shape)
    np.testing.assert_array_equal(low, wanted[0].numpy())
    np.testing.assert_array_equal(high, wanted[1].numpy())
    np.testing.assert_array_equal(merged, networks.merge(*wanted, axes, shape).numpy())


@each_way
def test_padding_is_not_read_and_arrays_may_be_views(threads: int | None) -> None:
    shape, axes = (7, 9), (0, 1)
    low, high = split(np.rint(noise((1, 1, *shape), 0)), axes, whole=True)
    mask = subband_mask(shape, axes)
    spoilt = np.where(mask, high, np.nan)
    wide = np.repeat(low, 2, axis=3)[..., ::2]
    with computed(threads):
        np.testing.assert_array_equal(
            merge(wide, spoilt, axes, shape), merge(low, high, axes, shape)
        )


@each_way
def test_every_size_comes_back_but_for_rounding(threads: int | None) -> None:
    for shape in [(1, 13), (13, 1, 2), (9, 8, 11)]:
        plan, x = split_plan(shape, (0,) * len(shape)), np.rint(noise((1, 1, *shape), 0))
        shapes = grid_shapes(shape, plan)
        with computed(threads):
            lows, highs = decompose(x, plan, whole=True)
            low = lows[-1]
            for level in range(len(plan) - 1, -1, -1):
                low = merge(low, highs[level], plan[level], shapes[level])
        assert np.abs(low - x).max() < 6 * len(plan) + 2


def test_an_axis_of_one_sample_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="one sample"):
        split(np.zeros((1, 1, 1, 4)), (0, 1))


@pytest.mark.skipif(len(WAYS) == 1, reason="the native engine is not built here")
def test_other_number_types_are_refused() -> None:
    with pytest.raises(ValueError, match="int64"):
        split(np.zeros((1, 1, 4, 4), np.int64), (0, 1))


@given(st.lists(st.integers(1, 12), min_size=2, max_size=3).map(tuple))
def test_coefficients_are_as_many_as_samples(shape: tuple[int, ...]) -> None:
    plan = split_plan(shape, (0,) * len(shape))
    shapes = grid_shapes(shape, plan)
    count = sum(int(subband_mask(s, axes).sum()) for s, axes in zip(shapes, plan, strict=False))
    assert count + 1 == math.prod(shape)


def test_thick_slices_are_split_last() -> None:
    plan = split_plan((64, 64, 16), coarseness((1.0, 1.0, 4.0), 3))
    assert plan[:3] == ((0, 1), (0, 1), (0, 1, 2))


@pytest.mark.parametrize("spacing", [None, (0.0, 1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_unusable_spacing_counts_as_equal(spacing: tuple[float, ...] | None) -> None:
    assert coarseness(spacing, 3) == (0, 0, 0)
