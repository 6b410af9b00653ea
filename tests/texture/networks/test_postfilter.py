"""The trainable post-filter: its fold comes back, and it does nothing untrained."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.networks.fold import fold, unfold
from deepstd.texture.networks.postfilter import PostFilter

CONDITIONS = 5


@given(st.lists(st.integers(1, 5), min_size=2, max_size=3), st.integers(1, 3))
def test_unfold_undoes_fold(halves: list[int], channels: int) -> None:
    x = torch.arange(2.0 ** len(halves) * np.prod(halves) * channels)
    x = x.reshape(1, channels, *(2 * n for n in halves))
    assert torch.equal(unfold(fold(x), channels), x)


def test_an_untrained_filter_changes_nothing() -> None:
    torch.manual_seed(0)
    low = torch.randn(1, 1, 9, 7, 5) * 3 * UNITS_PER_STEP
    net = PostFilter(3, 4, 1, False, CONDITIONS).requires_grad_(False)
    restored = net(low, None, torch.ones((1, CONDITIONS, 1, 1, 1)))
    torch.testing.assert_close(restored, low / UNITS_PER_STEP, rtol=0, atol=0)
