"""Linear resampling of images in torch, differentiable.

images, coordinates in voxels ─▶ resample ─▶ images
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def resample(
    images: Tensor, coordinates: Tensor, padding: Literal["border", "zeros"] = "border"
) -> Tensor:
    """Interpolate images (bi/tri)linearly at any coordinates.

    Args:
        images: (B, C, I, J) or (B, C, I, J, K).
        coordinates: (B, *out, ndim) in voxels, in the order of the image's axes.
        padding: values outside the image: its border, or zeros.

    Returns:
        (B, C, *out).
    """
    ndim = images.ndim - 2
    batch, *out, _ = coordinates.shape
    size = coordinates.new_tensor([max(n - 1, 1) for n in images.shape[2:]])
    single = coordinates.new_tensor([float(n == 1) for n in images.shape[2:]])
    grid = (coordinates * (2 / size) - (1 - single)).flip(-1)
    grid = grid.reshape(batch, -1, *([1] * (ndim - 1)), ndim)
    values = F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=True)
    return values.reshape(batch, images.shape[1], *out)
