"""Variations of training crops: other scanners', and still the same scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstd.errors import InputError
from deepstd.texture.networks.conditioning import TensorConditioning
from deepstd.texture.scaling import Scaling
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example
from deepstd.train.variation import magnified_crops, varied_crops


def _examples(shape: tuple[int, ...], coarse: tuple[int, ...]) -> list[Example]:
    scaling = Scaling(0, 0)
    ramp = torch.linspace(0, 1, shape[0]).reshape(1, 1, -1, *[1] * (len(shape) - 1))
    return [Example(ramp.expand(1, 1, *shape), coarse, scaling, None) for _ in range(3)]


def test_variations_mirror_turn_and_shrink() -> None:
    """Along a ramp, a mirrored crop falls, and a shrunk one climbs twice as fast."""
    slopes, coarse, turned = set(), set(), 0
    examples = _examples((161, 160, 10), (0, 0, 4))
    for seed in range(60):
        crop = varied_crops(examples, 20, np.random.default_rng(seed))[0]
        for axis in (0, 1):
            change = crop.values.diff(dim=2 + axis).mean().item() * 160
            if abs(change) > 1e-3:
                slopes.add(round(change))
                turned += axis
        coarse.add(crop.coarse)
    assert slopes == {1, -1, 2, -2}
    assert 10 < turned < 50
    assert {(0, 0, 4), (0, 0, 2)} <= coarse


def test_shrinking_averages_neighbours() -> None:
    board = torch.from_numpy(np.indices((128, 128)).sum(0) % 2).float()[None, None]
    examples = [Example(board, (0, 0), Scaling(0, 0), None)]
    seen = {
        round(float(varied_crops(examples, 32, np.random.default_rng(seed))[0].values.std()), 1)
        for seed in range(30)
    }
    assert seen == {0.5, 0.0}


def _with_template(image: torch.Tensor) -> Example:
    """An image that is its own template, and its rows as places."""
    rows = torch.arange(image.shape[2])[:, None].expand(image.shape[2:]) // 4 - 64
    places = torch.stack([rows, rows])[None].to(torch.int16)
    return Example(image, (0, 0), Scaling(0, 0), TensorConditioning(image.int(), places))


def test_magnified_images_stay_on_their_template() -> None:
    """Of a noisy ramp: template and places are magnified with it, and noise is added."""
    random = np.random.default_rng(0)
    rows = torch.arange(512.0)[:, None].expand(512, 500)
    noisy = rows + torch.from_numpy(random.normal(size=(512, 500))).float()
    examples = [_with_template(noisy[None, None]) for _ in range(2)]
    slopes, noises = [], []
    for seed in range(40):
        crops = magnified_crops(examples, 96, np.random.default_rng(seed))
        assert len({crop.shape for crop in crops}) == 1
        for crop in crops:
            assert crop.values.numel() <= 1.05 * 96**2
            assert crop.conditioning is not None
            template, places = crop.conditioning
            assert template.dtype == torch.int32
            assert (crop.values - template).mean().abs() < 1
            middle = crop.values.shape[2] // 2
            row = float(crop.values[..., middle, :].mean())
            assert places[0, 0, middle].float().mean().item() == pytest.approx(row / 4 - 64, abs=1)
            slopes.append(float(crop.values.mean((0, 1, 3)).diff().mean()))
            noises.append(float((crop.values - template).std()))
    slopes_found = np.array(slopes)
    assert np.mean(np.abs(slopes_found - 1) < 0.02) >= 0.3  # as they are
    assert slopes_found.min() < 0.35  # nearly four times as large
    assert 1.5 < max(noises) < 5


def test_varied_volumes_with_a_template_are_refused() -> None:
    with pytest.raises(InputError, match=r"r\.toml: varied with a template is for images"):
        TrainConfig.from_dict({"name": "x", "template": True, "varied": True}, "r.toml")
