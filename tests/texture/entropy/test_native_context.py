"""The native engine computes the context model's integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.engine.convolution import empty_grid
from deepstd.engine.library import engine
from deepstd.texture.entropy.context import (
    ContextConfig,
    LevelContext,
    condition_vector,
    pass_of_position,
)
from deepstd.texture.entropy.integer import ExactConv
from deepstd.texture.entropy.native_context import native_context, pass_positions

pytestmark = pytest.mark.skipif(engine() is None, reason="the native engine is not built here")


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


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_hidden_and_output_are_the_reference_s(data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([2, 3]))
    width = data.draw(st.sampled_from([2, 8, 17, 24, 40, 50, 64, 96]))
    config = ContextConfig(ndim, (width,), data.draw(st.booleans()))
    model = finished_model(config, data.draw(st.integers(0, 99)))
    sides = tuple((data.draw(st.booleans()), data.draw(st.booleans())) for _ in range(ndim))
    grid = tuple(data.draw(st.integers(9, 14 if ndim == 3 else 30)) for _ in range(ndim))
    batch = data.draw(st.integers(1, 2))
    features = torch.randint(-127, 128, (batch, config.features, *grid)).float()
    condition = torch.cat([condition_vector(config, 90 + 50 * n, (0,), 0) for n in range(batch)])
    native = native_context(model)
    assert native is not None
    hidden = native.hidden(features, condition, sides)
    expected = model.hidden(features, condition, sides)
    assert np.array_equal(np.stack(hidden), expected.movedim(1, -1).numpy())
    tile = hidden[0].shape[:-1]
    known = torch.randint(-127, 128, (batch, config.bands, *tile))
    for index in range(config.passes):
        prediction = model.predict(index, expected, known.float())
        here = pass_of_position(tile, config.passes, torch.device("cpu"))[0, 0] == index
        flat = pass_positions(tile, index).flat
        assert np.array_equal(flat, here.flatten().nonzero()[:, 0].numpy())
        for scan in range(batch):
            room = empty_grid([n + 2 for n in tile], native.known_channels)
            inner = (*(slice(1, -1) for _ in tile), slice(0, config.bands))
            room[inner] = known[scan].movedim(0, -1).numpy()
            output = native.output(index, np.ascontiguousarray(hidden[scan]), room)
            mean = prediction.mean[scan].flatten(1)[:, flat].T
            assert np.array_equal(output[:, : config.bands], mean.numpy())


def test_a_model_in_training_has_no_native_version() -> None:
    model = LevelContext(ContextConfig(2, (8,), False), 8)
    assert native_context(model) is None
