"""Random deformations: smooth, without folding, and the template moves with the scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.errors import InputError
from deepstd.texture.networks.conditioning import TensorConditioning
from deepstd.texture.scaling import Scaling
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, random_crops, window_of
from deepstd.train.deformation import Deformations, GaussianField


def _points(ndim: int, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (count, ndim))


def _wave(shape: tuple[int, ...], coarse: tuple[int, ...]) -> Example:
    """A smooth scan, whose template is the scan and whose coordinates are its voxels'."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    values = 400 + 300 * np.prod([np.cos(3 * a + 0.4) for a in axes], axis=0)
    tensor = torch.from_numpy(values.astype(np.float32))[None, None]
    places = torch.from_numpy(np.rint(64 * np.stack(axes)))[None].to(torch.int16)
    return Example(tensor, coarse, Scaling(0, 0), TensorConditioning(tensor.round().int(), places))


@given(ndim=st.sampled_from([2, 3]), strength=st.floats(0.001, 0.2), seed=st.integers(0, 2**32 - 1))
def test_fields_do_not_fold_whatever_their_strength(ndim: int, strength: float, seed: int) -> None:
    field = GaussianField.draw(ndim, strength, np.random.default_rng(seed))
    points = _points(ndim, 300, seed)
    determinants = field.determinants(points)
    assert determinants.min() > 0.1
    assert determinants.max() < 4
    moved = field.displacements(points)
    assert 0 < np.sqrt(np.square(moved).sum(1).mean()) < 1.6 * strength
    # Nor does a segment: points keep their order along every short line.
    ends = points + 1e-3 * _points(ndim, 300, seed + 1)
    change = ends + field.displacements(ends) - points - moved
    assert (np.sum(change * (ends - points), axis=1) > -0.5 * np.square(ends - points).sum(1)).all()


@pytest.mark.parametrize("ndim", [2, 3])
def test_determinants_are_those_of_the_displacements(ndim: int) -> None:
    field = GaussianField.draw(ndim, 0.1, np.random.default_rng(3))
    points, width = _points(ndim, 20, 5), 1e-5
    steps = width * np.eye(ndim)
    columns = [
        (field.displacements(points + s) - field.displacements(points - s)) / (2 * width)
        for s in steps
    ]
    numeric = np.linalg.det(np.eye(ndim) + np.stack(columns, -1))
    assert field.determinants(points) == pytest.approx(numeric, abs=1e-6)
    assert np.abs(numeric - 1).max() > 0.01


def test_ten_scans_share_a_field() -> None:
    deformations = Deformations(0.05, np.random.default_rng(0))
    kept = [deformations.field(3) for _ in range(25)]
    fields = [id(field) for field in kept]
    assert [fields.index(field) for field in fields] == [0] * 10 + [10] * 10 + [20] * 5


@pytest.mark.parametrize(
    ("shape", "coarse"), [((40, 36, 30), (0, 0, 0)), ((50, 44, 9), (0, 0, 4)), ((60, 50), (0, 0))]
)
def test_the_template_moves_with_the_scan(shape: tuple[int, ...], coarse: tuple[int, ...]) -> None:
    example = _wave(shape, coarse)
    deformations = Deformations(0.06, np.random.default_rng(1))
    window = tuple(slice(2, n - 3) for n in shape)
    still = window_of(example, window)
    crop = deformations.crop(example, window)
    assert crop.shape == still.shape
    assert crop.values.dtype == torch.float32
    assert crop.conditioning is not None
    assert still.conditioning is not None
    moved = (crop.values - still.values).abs()
    assert float(moved.mean()) > 3
    # Cubic and linear interpolation of a smooth scan agree: scan and template are still alike.
    apart = (crop.values - crop.conditioning.template).abs()
    assert float(apart.mean()) < 0.25 * float(moved.mean())
    template, places = crop.conditioning
    assert (template.dtype, places.dtype) == (torch.int32, torch.int16)
    assert int(places.abs().max()) <= 64
    assert bool((places != still.conditioning.places).any())


def test_a_deformed_window_is_that_of_the_deformed_scan() -> None:
    example = _wave((40, 36, 30), (0, 0, 0))
    whole, part = (
        Deformations(0.05, np.random.default_rng(2)).crop(example, window)
        for window in (
            (slice(0, 40), slice(0, 36), slice(0, 30)),
            (slice(11, 31), slice(5, 25), slice(7, 27)),
        )
    )
    expected = whole.values[:, :, 11:31, 5:25, 7:27]
    assert float((part.values - expected).abs().mean()) < 0.2


def test_crops_are_deformed_where_asked() -> None:
    examples = [_wave((30, 30, 30), (0, 0, 0))] * 2
    cut = Deformations(0.05, np.random.default_rng(0)).crop
    plain, deformed = (
        random_crops(examples, 20, np.random.default_rng(7), by) for by in (window_of, cut)
    )
    assert [c.shape for c in plain] == [c.shape for c in deformed]
    assert float((plain[0].values - deformed[0].values).abs().mean()) > 1


def test_a_strength_beyond_sense_is_refused() -> None:
    for value in (-0.1, 0.7, float("nan")):
        with pytest.raises(InputError, match=r"r\.toml: deformation must be 0 to 0\.2"):
            TrainConfig.from_dict({"name": "x", "deformation": value}, "r.toml")
