"""Training crops: equal shapes, bounded sizes."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd.texture.scaling import Scaling
from deepstd.train.data import Example, random_crops, slices_of
from deepstd.train.variation import varied_crops


def _examples(shape: tuple[int, ...], coarse: tuple[int, ...]) -> list[Example]:
    scaling = Scaling(0, 0)
    ramp = torch.linspace(0, 1, shape[0]).reshape(1, 1, -1, *[1] * (len(shape) - 1))
    return [Example(ramp.expand(1, 1, *shape), coarse, scaling, None) for _ in range(3)]


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from([(130, 120, 9), (100, 30, 100), (12, 10, 8), (200, 180), (50, 300)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_crops_of_a_batch_agree_and_are_bounded(shape: tuple[int, ...], seed: int) -> None:
    examples = _examples(shape, (0, 1, 4)[: len(shape)])
    for crops_of in (random_crops, varied_crops):
        crops = crops_of(examples, 24, np.random.default_rng(seed))
        assert len({crop.shape for crop in crops}) == 1
        assert len({crop.coarse for crop in crops}) == 1
        assert crops[0].values.numel() <= 24 ** len(shape)
        assert min(crops[0].coarse) == 0


def test_slices_of_thick_ones_are_images() -> None:
    volume = torch.arange(6 * 5 * 4).float().reshape(1, 1, 6, 5, 4)
    images = slices_of(Example(volume, (0, 2, 5), Scaling(0, 0), None))
    assert [image.coarse for image in images] == [(0, 2)] * 4
    assert all(torch.equal(image.values, volume[..., n]) for n, image in enumerate(images))


def test_slices_of_other_volumes_lie_along_all_axes_and_are_thicker() -> None:
    volume = torch.rand(1, 1, 9, 7, 10)
    images = slices_of(Example(volume, (0, 0, 0), Scaling(0, 0), None))
    assert [image.shape for image in images] == [(7, 10)] * 9 + [(9, 10)] * 3 + [(9, 7)] * 2
    assert torch.allclose(images[9].values, volume[:, :, :, :2].mean(3))
    assert torch.allclose(images[-1].values, volume[..., 4:8].mean(4))
