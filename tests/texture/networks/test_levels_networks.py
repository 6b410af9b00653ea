"""The level loop in torch, on any source of symbols, is that of the coder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textures import finished, smooth

from deepstd.devices import CPU
from deepstd.texture.conditioning import Hint
from deepstd.texture.entropy.symbols import DecoderSource
from deepstd.texture.networks import levels
from deepstd.texture.networks.conditioning import tensors_of
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.networks.runtime import Arithmetic
from deepstd.texture.networks.source import OnTensors
from deepstd.texture.scaling import log_rate
from deepstd.texture.wavelet.encoder import TextureEncoder, encode_together
from deepstd.texture.wavelet.levels import ScanBatch, code_levels
from deepstd.texture.wavelet.network import TextureConfig


@settings(max_examples=20, deadline=None)
@given(
    shape=st.lists(st.integers(1, 40), min_size=2, max_size=3).map(tuple),
    thick=st.booleans(),
    seed=st.integers(0, 99),
    precision=st.sampled_from([torch.float32, torch.float64]),
    step=st.integers(500, 6000),
)
@pytest.mark.parametrize("template", [False, True])
def test_both_loops_decode_the_same(
    shape: tuple[int, ...],
    thick: bool,
    seed: int,
    precision: torch.dtype,
    step: int,
    template: bool,
) -> None:
    torch.manual_seed(seed)
    ndim = len(shape)
    trained = TextureNetwork(TextureConfig(ndim, (8, 6), template, 0, 0))
    with torch.no_grad():
        for parameter in trained.context.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    network, random = finished(trained), np.random.default_rng(seed)
    hint = None
    if template:
        hint = Hint(
            random.integers(-4000, 4000, (1, 1, *shape)).astype(float),
            random.integers(-64, 65, (1, ndim, *shape)).astype(np.int16),
        )
    spacing = (1.0,) * (ndim - 1) + (4.0,) if thick else None
    encoder = TextureEncoder(network, smooth(shape, seed), spacing)
    (encoded,) = encode_together([encoder], step, [0.1], hint)
    plan, rates = encoder.plan, [log_rate(step)]
    source = DecoderSource(network.tables, encoded.stream)
    ours = code_levels(network.context, ScanBatch(shape, plan, rates, hint), source, CPU.first)
    copy = TextureNetwork.from_tensors(trained.config, trained.to_tensors())
    seen = None if hint is None else tensors_of(hint, "cpu")
    with torch.no_grad():
        theirs = levels.code_levels(
            copy.context,
            levels.ScanBatch(shape, plan, rates, seen),
            OnTensors(DecoderSource(network.tables, encoded.stream)),
            Arithmetic(torch.device("cpu"), precision),
        )
    assert np.array_equal(ours, theirs.numpy().astype(np.float32))
    assert np.array_equal(ours, encoded.low)
