"""Symbols of the learned reference codecs in training: bits with gradients, and tables.

latents less mean ─ quantiser ─▶ symbols ─▶ bits of each example, dequantised latents
symbols, scale indices ─ counts ─▶ tables
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from deepstd.baselines.neural.symbols import RATE_WEIGHT, whole
from deepstd.coding.tables import PLAIN, ScaleTables, symbol_counts, tables_from_counts
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.networks.quantizer import quantize
from deepstd.train.source import logistic_bits, scale_of_index_tensor, symbol_bits

# Scale below which noise in place of rounding has no useful gradient.
_LEAST_SCALE = 0.5


class TrainingSource:
    """Source that sums differentiable bits for each example of a batch.

    Args:
        tables: tables that the quantiser weighs bits by.
        generator: source of the noise that replaces rounding in gradients.
    """

    def __init__(self, tables: ScaleTables, generator: torch.Generator) -> None:
        self._savings = torch.from_numpy(symbol_savings(tables))
        self._generator = generator
        self._bits: list[torch.Tensor] = []
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []
        """Symbols and scale indices so far."""

    @property
    def bits(self) -> torch.Tensor:
        """Bits of each example, (B,)."""
        return torch.stack(self._bits).sum(0)

    def code(
        self, target: torch.Tensor | None, mean: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        """Quantise latents; the gradient passes through rounding (`symbols.Source`)."""
        if target is None:
            raise TypeError("training needs the latents")
        residual = target - mean
        symbols = quantize(residual.detach(), index.detach(), self._savings, RATE_WEIGHT)
        scale = scale_of_index_tensor(index)
        noise = torch.rand(residual.shape, generator=self._generator) - 0.5
        soft = logistic_bits((residual + noise).abs(), scale.detach().clamp(min=_LEAST_SCALE), 0.0)
        bits = symbol_bits(symbols.abs(), scale) + soft - soft.detach()
        self._bits.append(bits.flatten(1).sum(1))
        self.seen.append((symbols.flatten().numpy(), whole(index.detach()).flatten()))
        return mean + symbols + (residual - residual.detach())


def counted_tables(seen: Sequence[tuple[np.ndarray, np.ndarray]]) -> ScaleTables:
    """Fit tables to symbols and scale indices, as `TrainingSource.seen` collects them."""
    symbols, index = (np.concatenate(part) for part in zip(*seen, strict=True))
    return tables_from_counts(symbol_counts(symbols, index, np.full(symbols.size, PLAIN)))
