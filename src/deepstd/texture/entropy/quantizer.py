"""The plain quantiser: nearest symbol, or the one below it where that is the better bargain.

    residual, scale index ─ bits that one less saves ─ distortion + weight · bits ─▶ symbol

A symbol nearer to zero errs more and costs less. Which is better depends on what the context model
expects at that place, so the thresholds adapt to it. The decoder does not need to know.
"""

from __future__ import annotations

import numpy as np
import torch

from deepstd.coding.tables import PLAIN, SCALE_COUNT, ScaleTables, magnitude_bits

_LARGEST = 24


def symbol_savings(tables: ScaleTables, device: torch.device | str) -> torch.Tensor:
    """Bits that the next smaller magnitude saves at every scale index, float32 (64, 26).

    Of the magnitudes 0 … 24, and of all larger ones: zero for those, for 0, and at scales that
    split symbols, where neighbouring symbols cost the same.
    """
    savings = np.zeros((SCALE_COUNT, _LARGEST + 2), dtype=np.float32)
    savings[:, 1:-1] = np.diff(magnitude_bits(tables, PLAIN, _LARGEST))
    return torch.from_numpy(savings).to(device)


def quantize(
    residual: torch.Tensor, scale_index: torch.Tensor, savings: torch.Tensor, rate_weight: float
) -> torch.Tensor:
    """Whole-number symbols of residuals given in steps.

    Args:
        residual: any shape.
        scale_index: of each, whole numbers of the same shape.
        savings: of `symbol_savings`.
        rate_weight: squared steps that a bit is worth; 0 rounds to the nearest.
    """
    magnitude = residual.abs()
    nearest = torch.floor(magnitude + 0.5)
    entry = torch.add(nearest.clamp(max=_LARGEST + 1), scale_index, alpha=savings.shape[1]).long()
    saved = savings.reshape(-1)[entry]
    # (m − n + 1)² − (m − n)² for magnitude m and nearest symbol n
    worse = 2 * (magnitude - nearest) + 1
    symbol = nearest - (worse < rate_weight * saved).to(nearest.dtype)
    return torch.sign(residual) * symbol
