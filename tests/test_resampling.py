"""Resampling in torch knows its axes and its borders."""

from __future__ import annotations

import pytest
import torch

from deepstd.resampling import resample


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 6), (1, 4, 3)])
def test_resampling_at_every_voxel_gives_the_image(shape: tuple[int, ...]) -> None:
    image = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    grid = torch.stack(torch.meshgrid(*[torch.arange(n) for n in shape], indexing="ij"), -1)
    found = resample(image, grid.float().expand(2, *grid.shape))
    torch.testing.assert_close(found, image, atol=1e-5, rtol=0)


def test_resampling_between_voxels_and_beyond_the_border() -> None:
    image = torch.arange(24.0).reshape(1, 1, 4, 6)
    points = torch.tensor([[[1.5, 2.0], [2.0, 2.25], [9.0, 5.0], [-9.0, -9.0]]])
    torch.testing.assert_close(
        resample(image, points)[0, 0], torch.tensor([11.0, 14.25, 23.0, 0.0])
    )
    assert resample(image, points + 20, "zeros").abs().max() == 0
