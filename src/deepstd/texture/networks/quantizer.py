"""Scalar quantiser of training, on tensors (`entropy.quantizer`).

residual, scale index ─ bits that the next smaller magnitude saves ─ D + λ R ─▶ symbol
"""

from __future__ import annotations

import torch

from deepstd.texture.entropy.quantizer import LARGEST


def quantize(
    residual: torch.Tensor, scale_index: torch.Tensor, savings: torch.Tensor, rate_weight: float
) -> torch.Tensor:
    """Quantise residuals to whole-number symbols.

    Args:
        residual: coefficient less prediction in steps, any shape.
        scale_index: scale index of each residual, whole numbers of the same shape.
        savings: bits saved by the next smaller magnitude, from `symbol_savings`.
        rate_weight: λ, squared steps that a bit is worth; 0 rounds to the nearest.
    """
    magnitude = residual.abs()
    nearest = torch.floor(magnitude + 0.5)
    entry = torch.add(nearest.clamp(max=LARGEST + 1), scale_index, alpha=savings.shape[1]).long()
    saved = savings.reshape(-1)[entry]
    # (m − n + 1)² − (m − n)² for magnitude m and nearest symbol n
    worse = 2 * (magnitude - nearest) + 1
    symbol = nearest - (worse < rate_weight * saved).to(nearest.dtype)
    return torch.sign(residual) * symbol
