"""Derivatives carried along with the values are the derivatives."""

from __future__ import annotations

import pytest
import torch

from deepstd.shape.networks.siren import (
    Trunk,
    determinants,
    displacements,
    initial_trunk,
    own_displacements,
)
from deepstd.shape.siren import BACKWARD, FORWARD

OMEGA = 8.0


def trunk_and_heads(ndim: int) -> tuple[Trunk, torch.Tensor]:
    generator = torch.Generator().manual_seed(ndim)
    limit = torch.tensor([1.0, 0.8, 0.6][:ndim])
    trunk = initial_trunk(ndim, 12, OMEGA, limit, generator).to(torch.float64)
    heads = torch.randn(2, 3, 13, ndim, generator=generator, dtype=torch.float64) * 0.05
    return trunk, heads


@pytest.mark.parametrize("ndim", [2, 3])
def test_determinants_are_those_of_automatic_differentiation(ndim: int) -> None:
    trunk, heads = trunk_and_heads(ndim)
    q = torch.rand(6, ndim, dtype=torch.float64, generator=torch.Generator().manual_seed(9)) - 0.5
    found = determinants(trunk.slopes(q[None], OMEGA), heads)
    for field in (FORWARD, BACKWARD):
        for scan in range(3):

            def moved(x: torch.Tensor, field: int = field, scan: int = scan) -> torch.Tensor:
                features = trunk.features(x[None, None], OMEGA)
                return x + displacements(features, heads)[field, scan, 0]

            expected = torch.stack(
                [torch.linalg.det(torch.autograd.functional.jacobian(moved, x)) for x in q]
            )
            torch.testing.assert_close(found[field, scan], expected)


@pytest.mark.parametrize("ndim", [2, 3])
def test_shared_and_own_points_agree(ndim: int) -> None:
    trunk, heads = trunk_and_heads(ndim)
    q = torch.rand(5, ndim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shared = displacements(trunk.features(q[None], OMEGA), heads)
    own = own_displacements(trunk, q.expand(2, 3, -1, -1), heads, OMEGA)
    torch.testing.assert_close(shared, own)


def test_beyond_the_template_a_field_goes_on_as_at_its_border() -> None:
    trunk, heads = trunk_and_heads(2)
    at = torch.tensor([[1.0, 0.3], [1.7, 0.3]], dtype=torch.float64)
    moved = displacements(trunk.features(at[None], OMEGA), heads)
    torch.testing.assert_close(moved[:, :, 0], moved[:, :, 1])
    assert trunk.slopes(at[None, 1:], OMEGA)[0].abs().max() == 0
