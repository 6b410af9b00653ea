"""The written derivatives of the loss are those of automatic differentiation."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepstd.shape import loss
from deepstd.shape.alignment import Frame, normalised
from deepstd.shape.networks import loss as networks_loss
from deepstd.shape.networks.frame import TensorFrame
from deepstd.shape.networks.siren import Trunk as TensorTrunk
from deepstd.shape.siren import Layers, Trunk


class Case:
    """Random hidden layers, heads, scans with masks, template and sampled voxels."""

    def __init__(self, ndim: int, batch: int, omega: int, bend: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        width, shape = int(rng.integers(3, 20)), tuple(rng.integers(1, 14, ndim).tolist())
        factors = tuple(rng.integers(1, 3, ndim).tolist())
        template_shape = tuple(n * f for n, f in zip(shape, factors, strict=True))
        self.omega = omega

        def uniform(*size: int, bound: float = 1.0) -> np.ndarray:
            return rng.uniform(-bound, bound, size).astype(np.float32)

        self.frame = Frame(template_shape, uniform(ndim) + np.float32(max(shape) + 2), factors)
        self.trunk = Trunk(
            uniform(2, ndim, width),
            uniform(2, 1, width),
            uniform(2, width, width, bound=1 / omega),
            uniform(2, 1, width, bound=1 / omega),
            # Some points lie beyond the border, where a field is constant.
            rng.uniform(0.2, 0.9, ndim).astype(np.float32),
        )
        self.heads = uniform(2, batch, ndim, width + 1, bound=bend)
        canvases = uniform(batch, 2, *shape)
        canvases[:, 1] = rng.random((batch, *shape)) < 0.7
        self.canvases = normalised(canvases)
        self.template = uniform(*shape)
        self.voxels = rng.integers(0, self.template.size, 40)
        self.few = loss.regularity_points(len(self.voxels))

    @property
    def layers(self) -> Layers:
        return self.trunk.at(self.omega)

    def sample(self) -> loss.Sample:
        x = self.frame.nodes()[self.voxels]
        features, slopes = self.layers.features_and_slopes(x[None])
        scans, masks = self.canvases.reshape(*self.canvases.shape[:2], -1)[
            ..., self.voxels
        ].swapaxes(0, 1)
        template = self.template.reshape(1, -1)[:, self.voxels]
        return loss.Sample(x.T, features, slopes[:, :, : self.few], template, scans, masks)

    def by_hand(self) -> tuple[np.ndarray, np.ndarray]:
        images = loss.Images(self.canvases, self.template, self.frame)
        return loss.pair_loss(self.layers, self.heads, images, self.sample())

    def automatic(self) -> tuple[np.ndarray, np.ndarray]:
        """The same by torch, in float64."""
        trunk = TensorTrunk.of_arrays(self.trunk).to(torch.float64)
        frame = TensorFrame(self.frame, "cpu")
        for name in ("canvas_reach", "canvas_centre"):
            setattr(frame, name, getattr(frame, name).double())
        x = frame.nodes()[self.voxels].double()
        sample = networks_loss.Sample(
            torch.from_numpy(self.voxels),
            x,
            trunk.features(x[None], self.omega),
            trunk.slopes(x[None, : self.few], self.omega),
        )
        heads = torch.from_numpy(self.heads).double().mT.requires_grad_()
        images = (
            torch.from_numpy(self.canvases).double(),
            torch.from_numpy(self.template).double()[None, None],
            frame,
        )
        values = networks_loss.pair_loss(trunk, self.omega, heads, *images, sample)
        (slope,) = torch.autograd.grad(values.sum(), heads)
        return values.detach().numpy(), slope.mT.numpy()


CASES = st.builds(
    Case,
    ndim=st.sampled_from([2, 3]),
    batch=st.integers(1, 3),
    omega=st.integers(1, 10),
    bend=st.sampled_from([1e-3, 0.03, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)


@given(CASES)
def test_values_and_derivatives_are_those_of_torch(case: Case) -> None:
    values, slope = case.by_hand()
    expected, expected_slope = case.automatic()
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        slope, expected_slope, rtol=2e-3, atol=2e-3 * np.abs(expected_slope).max()
    )
