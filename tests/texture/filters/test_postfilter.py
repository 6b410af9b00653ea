"""The post-filter: that of the reference in torch, without seams between tiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from instructions import limited

from deepstd.engine import library
from deepstd.engine.postfilter import Truth
from deepstd.errors import BundleError
from deepstd.texture.filters import postfilter
from deepstd.texture.filters.postfilter import UNITS_PER_STEP, NoFilter, PostFilter, restore
from deepstd.texture.networks import postfilter as networks
from deepstd.texture.tiling import TileEdges

CONDITIONS = 5
SHAPES = st.lists(st.integers(1, 21), min_size=2, max_size=3).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)
native = pytest.mark.skipif(library.engine() is None, reason="the native engine is not built here")


def trained(
    ndim: int, width: int, blocks: int, *, template: bool = False, seed: int = 0
) -> networks.PostFilter:
    """A reference whose last layer does something; its weights are of half precision."""
    torch.manual_seed(seed)
    made = networks.PostFilter(ndim, width, blocks, template, CONDITIONS)
    torch.nn.init.normal_(made.exit.weight, std=0.3)
    return made.half().float().requires_grad_(False)


def arrays_of(reference: networks.PostFilter) -> dict[str, np.ndarray]:
    return {name: x.numpy().astype(np.float16) for name, x in reference.state_dict().items()}


def same_as(reference: networks.PostFilter, ndim: int, *, template: bool = False) -> PostFilter:
    return PostFilter.from_arrays(arrays_of(reference), ndim, template)


def values(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Whole numbers of 1/64 step, some of them beyond what the filter takes."""
    random = np.random.default_rng(seed)
    return np.rint(random.normal(0, 6, (1, 1, *shape)) * UNITS_PER_STEP)


def condition_of(ndim: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    vector = random.integers(0, 33, (1, CONDITIONS, *[1] * ndim))
    return vector.astype(np.float32)


@pytest.fixture(params=["engine", "arrays"])
def engine_or_not(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine, or what stands in for it."""
    if request.param == "arrays":
        monkeypatch.setattr(postfilter, "engine", lambda: None)
    elif library.engine() is None:
        pytest.skip("the native engine is not built here")
    return request.param


@pytest.mark.usefixtures("engine_or_not")
class TestReference:
    @given(SHAPES, st.integers(1, 70), st.integers(1, 3), st.booleans(), SEEDS)
    def test_values(
        self, shape: tuple[int, ...], width: int, blocks: int, template: bool, seed: int
    ) -> None:
        ndim = len(shape)
        reference = trained(ndim, width, blocks, template=template, seed=seed)
        low, condition = values(shape, seed), condition_of(ndim, seed)
        seen = low + np.rint(values(shape, seed + 1) / 2) if template else None
        predicted = None if seen is None else torch.from_numpy(seen)
        expected = reference(torch.from_numpy(low), predicted, torch.from_numpy(condition))
        found = same_as(reference, ndim, template=template)(low, seen, condition)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=3e-4)

    @given(SHAPES, st.integers(1, 40), st.integers(1, 3), st.booleans(), SEEDS)
    def test_gradients(
        self, shape: tuple[int, ...], width: int, blocks: int, template: bool, seed: int
    ) -> None:
        ndim = len(shape)
        random = np.random.default_rng(seed)
        reference = trained(ndim, width, blocks, template=template, seed=seed).double()
        low, condition = values(shape, seed), condition_of(ndim, seed)
        seen = low + np.rint(values(shape, seed + 1) / 2) if template else None
        truth = (low / UNITS_PER_STEP + random.normal(0, 0.4, low.shape)).astype(np.float32)
        inner = tuple(slice(n // 4, n - n // 5) for n in shape)
        x = torch.from_numpy(low).requires_grad_()
        error = self.squared_error(reference, x, seen, condition, truth, inner)
        (slope,) = torch.autograd.grad(error, x)
        total, found = same_as(reference, ndim, template=template).gradient(
            low, seen, condition, truth, inner
        )
        assert total == pytest.approx(float(error.detach()), rel=1e-4, abs=1e-6)
        expected = slope.numpy() * UNITS_PER_STEP
        # A sum that rounds to the other side of a LeakyReLU's or a clamp's edge changes its slope.
        near = np.isclose(found, expected, rtol=1e-3, atol=1e-3 * max(1.0, np.abs(expected).max()))
        assert near.mean() > 0.98

    @staticmethod
    def squared_error(
        reference: networks.PostFilter,
        low: torch.Tensor,
        template: np.ndarray | None,
        condition: np.ndarray,
        truth: np.ndarray,
        inner: tuple[slice, ...],
    ) -> torch.Tensor:
        predicted = None if template is None else torch.from_numpy(template)
        # The reference computes in float32 throughout; in float64 its inputs must be, too.
        restored = in_float64(reference, low, predicted, torch.from_numpy(condition))
        return (restored - torch.from_numpy(truth))[(..., *inner)].square().sum()

    @pytest.mark.parametrize(("ndim", "shape"), [(2, (150, 71)), (3, (75, 40, 33))])
    @pytest.mark.parametrize("blocks", [1, 2])
    @pytest.mark.parametrize("template", [False, True])
    def test_tiles_leave_no_seams(
        self, ndim: int, shape: tuple[int, ...], blocks: int, template: bool
    ) -> None:
        net = same_as(trained(ndim, 6, blocks, template=template), ndim, template=template)
        low, seen = values(shape, 0), values(shape, 1) if template else None
        condition = condition_of(ndim, 0)
        whole = net(low, seen, condition)[0, 0]
        assert np.abs(whole - low[0, 0] / UNITS_PER_STEP).max() > 0.1
        restored = restore(lambda _: net, low, seen, condition, edges=TileEdges(32, 32))
        np.testing.assert_allclose(restored, whole, atol=2e-4)

    def test_scans_of_a_batch_have_their_own_conditions(self) -> None:
        net = same_as(trained(2, 6, 1), 2)
        low = np.concatenate([values((9, 7), 0)] * 2)
        conditions = np.concatenate([condition_of(2, 1), condition_of(2, 2)])
        both = net(low, None, conditions)
        assert np.abs(both[0] - both[1]).max() > 1e-3
        for n in range(2):
            alone = net(low[n : n + 1], None, conditions[n : n + 1])
            np.testing.assert_array_equal(both[n], alone[0])


def in_float64(
    reference: networks.PostFilter,
    low: torch.Tensor,
    template: torch.Tensor | None,
    condition: torch.Tensor,
) -> torch.Tensor:
    """The reference's result where no tensor is rounded to float32 on the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        return reference(low, template, condition)


@native
@given(SHAPES, st.sampled_from([3, 16, 40, 64]), SEEDS)
@example((19, 21, 21), 3, 120123)  # two signs turn
def test_every_set_of_instructions_gives_the_same(
    shape: tuple[int, ...], width: int, seed: int
) -> None:
    net = same_as(trained(len(shape), width, 1, seed=seed), len(shape))
    low = values(shape, seed)[0, 0]
    bias = np.random.default_rng(seed).normal(0, 1, width).astype(np.float32)
    truth = Truth(
        (low / UNITS_PER_STEP + 0.3).astype(np.float32), tuple(slice(0, n) for n in shape)
    )
    for given_truth in (None, truth):
        results = []
        for threads, instructions in enumerate(library.LIMITS, 1):
            with limited(instructions):
                results.append(net.native.run(low, None, bias, threads, given_truth))
        for error, found in results[1:]:
            assert error == pytest.approx(results[0][0], rel=1e-4)
            near = np.isclose(found, results[0][1], rtol=1e-3, atol=1e-3)
            # Rounding turns the sign before an activation, rarely: 5 voxels along each axis change.
            away = np.linalg.norm(found - results[0][1]) / np.linalg.norm(results[0][1])
            assert near.mean() > 0.98 or away < 0.01


@native
def test_windows_that_do_not_fit_are_refused() -> None:
    net = same_as(trained(2, 6, 1, template=True), 2, template=True)
    low, condition = values((6, 5), 0), condition_of(2, 0)
    with pytest.raises(ValueError, match="differ"):
        net(low, values((6, 4), 0), condition)
    with pytest.raises(ValueError, match="differ"):
        net.gradient(low, low, condition, low[..., 1:], (slice(0, 6), slice(0, 5)))
    with pytest.raises(ValueError, match="prediction"):
        net(low, None, condition)
    with pytest.raises(ValueError, match="does not fit"):
        net(values((6, 5, 4), 0), values((6, 5, 4), 0), condition)


def test_an_untrained_filter_changes_nothing() -> None:
    low = values((9, 7, 5), 0)
    net = same_as(networks.PostFilter(3, 4, 1, False, CONDITIONS).requires_grad_(False), 3)
    expected = (low[0, 0] / UNITS_PER_STEP).astype(np.float32)
    for each in (net, NoFilter()):
        np.testing.assert_array_equal(
            restore(lambda _, own=each: own, low, None, condition_of(3, 0)), expected
        )


def test_no_filter_has_the_gradient_of_the_plain_error() -> None:
    low = values((6, 5), 0)
    truth = (low / UNITS_PER_STEP - 0.5).astype(np.float32)
    inner = (slice(1, 4), slice(0, 5))
    error, gradient = NoFilter().gradient(low, None, condition_of(2, 0), truth, inner)
    assert error == pytest.approx(15 * 0.25)
    expected = np.zeros(low.shape)
    expected[(..., *inner)] = 1.0
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def damaged_arrays() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    good = arrays_of(trained(2, 6, 2))
    yield "exit.bias is missing", {n: x for n, x in good.items() if n != "exit.bias"}
    yield "no place for more", {**good, "more": np.ones(3)}
    yield "entry.weight has shape", {**good, "entry.weight": np.ones((6, 8, 3, 3))}
    yield "blocks.1.first.weight has shape", {**good, "blocks.1.first.weight": np.ones((6, 6))}
    yield "exit.bias has values", {**good, "exit.bias": np.full(4, np.nan)}
    yield "no residual block", {n: x for n, x in good.items() if not n.startswith("blocks")}


@pytest.mark.parametrize(("message", "arrays"), list(damaged_arrays()))
def test_damaged_bundles_are_refused(message: str, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(BundleError, match=message):
        PostFilter.from_arrays(arrays, 2, False)
