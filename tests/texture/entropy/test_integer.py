"""Exact layers: what a run computes once for all of them is what each would compute itself."""

from __future__ import annotations

import pytest
import torch

from deepstd.texture.networks.integer import ExactConv, fixed_shifts, thawed


def test_shifts_fixed_together_are_those_of_each_layer() -> None:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList(ExactConv(2, n, 3, 3, 127 * n) for n in (1, 4, 16, 64, 256))
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
    layer = ExactConv(2, 2, 2, 1, 127)
    layer.load_integers(layer.to_integers())
    shift = layer.frozen_shift
    with fixed_shifts(layer):
        assert layer.frozen_shift == shift
    assert layer.frozen_shift == shift


def test_a_thawed_layer_can_be_stored_whatever_it_learns() -> None:
    layer = ExactConv(2, 4, 3, 3, 127)
    layer.load_integers(layer.to_integers())
    with torch.no_grad():
        thawed(layer).weight.mul_(512)
    again = ExactConv(2, 4, 3, 3, 127)
    again.load_integers(layer.to_integers())
    assert again.shift() < 8
    torch.testing.assert_close(again.weight, layer.weight, atol=2.0 ** -again.shift(), rtol=0)
