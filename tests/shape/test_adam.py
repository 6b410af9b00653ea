"""Steps of Adam on arrays are those on tensors."""

from __future__ import annotations

import numpy as np
import torch

from deepstd.shape.adam import Adam
from deepstd.shape.networks.adam import Adam as TensorAdam


def test_steps_are_those_on_tensors() -> None:
    rng = np.random.default_rng(0)
    start, target = rng.normal(size=(2, 5, 3)).astype(np.float32)
    here, there = start.copy(), torch.from_numpy(start.copy()).requires_grad_()
    ours, theirs = Adam([here]), TensorAdam([there])
    for step in range(30):
        rate = 0.1 / (1 + step)
        ours.step([2 * (here - target)], [rate])
        theirs.step(((there - torch.from_numpy(target)) ** 2).sum(), [rate])
    assert np.abs(here - start).max() > 0.1
    np.testing.assert_allclose(here, there.detach().numpy(), atol=1e-5)
