"""Similarity of two scans at sampled points, differentiable by every argument.

values a, b, weights ─▶ weighted normalised cross-correlation per scan (paper, Eq. 6)
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepstd.shape.similarity import TINY


def correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted normalised cross-correlation over the last axis, in [-1, 1].

    Args:
        a: (B, N) values of one image.
        b: (B, N) or (1, N) values of the other.
        weight: (B, N) non-negative; 0 leaves a point out.

    Returns:
        (B,); 0 where either image is constant.
    """
    share = weight / weight.sum(-1, keepdim=True).clamp_min(TINY)
    a = a - (share * a).sum(-1, keepdim=True)
    b = b - (share * b).sum(-1, keepdim=True)
    power = (share * a * a).sum(-1) * (share * b * b).sum(-1)
    return (share * a * b).sum(-1) / torch.sqrt(power + TINY)
