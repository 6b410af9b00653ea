"""The quantiser: nearest symbol, or the one below it where that is the better bargain.

    residual, scale index ─ bits of each candidate ─ distortion + weight · bits ─▶ symbol

A symbol nearer to zero errs more and costs less. Which is better depends on what the context model
expects at that place, so the thresholds adapt to it. The decoder does not need to know.
"""

from __future__ import annotations

import numpy as np
import torch

from deepstd.coding.tables import SCALE_COUNT, ScaleTables, split_index, support_radius

_LARGEST = 24


def symbol_costs(tables: ScaleTables, device: torch.device | str) -> torch.Tensor:
    """Bits of the magnitudes 0 … 24 at every scale index, float32 (64, 25).

    Zero at scales that split symbols: there neighbouring symbols cost the same.
    """
    costs = np.zeros((SCALE_COUNT, _LARGEST + 1), dtype=np.float32)
    for index in range(SCALE_COUNT):
        base, low_bits = split_index(index)
        if low_bits:
            continue
        frequencies = tables.frequencies[base]
        radius = support_radius(base)
        entries = [radius + 1 + m if m <= radius else 0 for m in range(_LARGEST + 1)]
        costs[index] = -np.log2(frequencies[entries] / frequencies.sum())
    return torch.from_numpy(costs).to(device)


def quantize(
    residual: torch.Tensor, scale_index: torch.Tensor, costs: torch.Tensor, rate_weight: float
) -> torch.Tensor:
    """Whole-number symbols of residuals given in steps.

    Args:
        residual: any shape.
        scale_index: of each, whole numbers of the same shape.
        costs: of `symbol_costs`.
        rate_weight: squared steps that a bit is worth; 0 rounds to the nearest.
    """
    magnitude = residual.abs()
    nearest = torch.floor(magnitude + 0.5)
    below = (nearest - 1).clamp(min=0)
    row = scale_index.long() * costs.shape[1]
    flat = costs.reshape(-1)
    bits = flat[row + nearest.clamp(max=_LARGEST).long()]
    saved = bits - flat[row + below.clamp(max=_LARGEST).long()]
    worse = (magnitude - below).square() - (magnitude - nearest).square()
    symbol = torch.where((worse < rate_weight * saved) & (nearest <= _LARGEST), below, nearest)
    return torch.sign(residual) * symbol
