"""MIND-SSC, the modality independent self-similarity descriptor (Heinrich et al. 2013).

    image ─ squared differences of twelve pairs of neighbours ─ box average ─ exp(− · / mean)

A pair are two of the six face neighbours of a voxel that lie √2 apart.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

CHANNELS = 12


def mind_ssc(image: Tensor, radius: int, dilation: int) -> Tensor:
    """(1, 1, I, J, K) -> (1, 12, I, J, K), 0 to 1.

    Args:
        image: grey values.
        radius: of the box that differences are averaged over.
        dilation: how far neighbours are, in voxels.
    """
    neighbours = [
        tuple(sign * dilation * (i == axis) for i in range(3))
        for axis in range(3)
        for sign in (-1, 1)
    ]
    wide = F.pad(image, (dilation,) * 6, mode="replicate")

    def shifted(by: tuple[int, ...]) -> Tensor:
        window = [
            slice(dilation + b, dilation + b + n) for b, n in zip(by, image.shape[2:], strict=True)
        ]
        return wide[:, :, window[0], window[1], window[2]]

    differences = [
        (shifted(a) - shifted(b)) ** 2
        for a, b in itertools.combinations(neighbours, 2)
        if sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) == 2 * dilation**2
    ]
    padded = F.pad(torch.cat(differences, 1), (radius,) * 6, mode="replicate")
    distance = F.avg_pool3d(padded, 2 * radius + 1, stride=1)
    distance = distance - distance.amin(1, keepdim=True)
    noise = distance.mean(1, keepdim=True)
    typical = noise.mean().clamp_min(1e-12)
    return torch.exp(-distance / noise.clamp(1e-3 * typical, 1e3 * typical))
