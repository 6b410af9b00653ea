"""Exact layers: what a run computes once for all of them is what each would compute itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.texture.entropy.integer import LayerSize, WholeConv
from deepstd.texture.networks.integer import ExactConv, fixed_shifts, thawed


def stored(layer: ExactConv) -> WholeConv:
    """The integers of a layer, as a bundle holds them."""
    arrays = {f"x.{part}": values.numpy() for part, values in layer.to_integers().items()}
    return WholeConv.from_arrays(arrays, "x", layer.size, layer.weight.ndim - 2)


def test_shifts_fixed_together_are_those_of_each_layer() -> None:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList(
        ExactConv(2, LayerSize(n, 3, 3, 127 * n)) for n in (1, 4, 16, 64, 256)
    )
    own = [layer.shift() for layer in layers if isinstance(layer, ExactConv)]
    assert len(set(own)) > 1

    def fixed() -> list[int | None]:
        return [layer.frozen_shift for layer in layers if isinstance(layer, ExactConv)]

    with fixed_shifts(layers):
        assert fixed() == own
    assert fixed() == [None] * 5
    with pytest.raises(ZeroDivisionError), fixed_shifts(layers):
        _ = 1 / 0
    assert fixed() == [None] * 5


def test_the_shifts_of_a_finished_network_stay() -> None:
    layer = ExactConv(2, LayerSize(2, 2, 1, 127))
    layer.load_integers(stored(layer))
    shift = layer.frozen_shift
    with fixed_shifts(layer):
        assert layer.frozen_shift == shift
    assert layer.frozen_shift == shift


def test_a_thawed_layer_can_be_stored_whatever_it_learns() -> None:
    layer = ExactConv(2, LayerSize(4, 3, 3, 127))
    layer.load_integers(stored(layer))
    with torch.no_grad():
        thawed(layer).weight.mul_(512)
    again = ExactConv(2, LayerSize(4, 3, 3, 127))
    again.load_integers(stored(layer))
    assert again.shift() < 8
    torch.testing.assert_close(again.weight, layer.weight, atol=2.0 ** -again.shift(), rtol=0)


@given(st.integers(2, 3), st.integers(0, 2**16), st.sampled_from([1, 3]), st.booleans())
def test_layers_of_the_coder_are_those_of_training(
    ndim: int, seed: int, edge: int, whole: bool
) -> None:
    torch.manual_seed(seed)
    layer = ExactConv(ndim, LayerSize(5, 4, edge, 127), gain=3.0)
    torch.nn.init.normal_(layer.bias, std=4)
    own = stored(layer)
    layer.load_integers(own)
    grid = torch.randint(2, 9, (ndim,)).tolist()
    x = torch.randint(-127, 128, (2, 5, *grid)).float()
    borders = None if whole else tuple((n % 2 == 0, n > 4) for n in grid)
    if borders is not None:
        x = torch.nn.functional.pad(x, [2, 2] * ndim)
    with torch.no_grad():
        expected = layer(x, borders).numpy()
    assert np.array_equal(own(x.numpy(), borders), expected)
