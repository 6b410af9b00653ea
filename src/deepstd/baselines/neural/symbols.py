"""Sources of symbols of a learned codec: training, encoder and decoder share one loop.

    latents less mean ─ quantiser ─▶ symbols ─ table of the scale ─▶ bits, stream
    stream ─ table of the scale ─▶ symbols ─ + mean ─▶ latents

The tables are the project's, for logistic distributions, in place of Gaussian ones. The quantiser
weighs the squared error against the bits, as that of the project does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from deepstd.coding.backend import new_decoder, new_encoder
from deepstd.coding.tables import PLAIN, ScaleTables, symbol_counts, tables_from_counts
from deepstd.texture.entropy.quantizer import quantize, symbol_savings
from deepstd.texture.networks import quantizer
from deepstd.train.source import logistic_bits, scale_of_index_tensor, symbol_bits

RATE_WEIGHT = 0.08
"""Squared steps that a bit is worth."""
# Scale below which noise in place of rounding has no useful gradient.
_LEAST_SCALE = 0.5


class Source(Protocol):
    """Source of dequantised latents."""

    def code(
        self, target: torch.Tensor | None, mean: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        """Code latents; return them dequantised, in steps.

        Args:
            target: true latents in steps, or None in a decoder.
            mean: predicted latents in steps.
            index: scale indices, whole numbers, of the same shape.
        """
        ...


class EncoderSource:
    """Source that writes a stream."""

    def __init__(self, tables: ScaleTables) -> None:
        self._tables, self._savings = tables, symbol_savings(tables)
        self._coder = new_encoder()

    def code(
        self, target: torch.Tensor | None, mean: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        """Quantise latents and encode the symbols (`Source.code`)."""
        if target is None:
            raise TypeError("an encoder needs the latents")
        scale = _whole(index)
        symbols = quantize((target - mean).numpy(), scale, self._savings, RATE_WEIGHT)
        self._coder.encode(symbols, scale, self._tables)
        return mean + torch.from_numpy(symbols.astype(np.float32))

    def finish(self) -> bytes:
        """Return the stream."""
        return self._coder.finish()


class DecoderSource:
    """Source that reads a stream."""

    def __init__(self, tables: ScaleTables, stream: bytes) -> None:
        self._tables = tables
        self._coder = new_decoder(stream)

    def code(
        self, target: torch.Tensor | None, mean: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        """Decode symbols (`Source.code`)."""
        symbols = self._coder.decode(_whole(index), self._tables)
        return mean + torch.from_numpy(symbols.astype(np.float32))


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
        """Quantise latents; the gradient passes through rounding (`Source.code`)."""
        if target is None:
            raise TypeError("training needs the latents")
        residual = target - mean
        symbols = quantizer.quantize(
            residual.detach(), index.detach(), self._savings, RATE_WEIGHT
        )
        scale = scale_of_index_tensor(index)
        noise = torch.rand(residual.shape, generator=self._generator) - 0.5
        soft = logistic_bits((residual + noise).abs(), scale.detach().clamp(min=_LEAST_SCALE), 0.0)
        bits = symbol_bits(symbols.abs(), scale) + soft - soft.detach()
        self._bits.append(bits.flatten(1).sum(1))
        self.seen.append((symbols.flatten().numpy(), _whole(index.detach()).flatten()))
        return mean + symbols + (residual - residual.detach())


def counted_tables(seen: Sequence[tuple[np.ndarray, np.ndarray]]) -> ScaleTables:
    """Fit tables to symbols and scale indices, as `TrainingSource.seen` collects them."""
    symbols, index = (np.concatenate(part) for part in zip(*seen, strict=True))
    return tables_from_counts(symbol_counts(symbols, index, np.full(symbols.size, PLAIN)))


def _whole(index: torch.Tensor) -> np.ndarray:
    return index.numpy().astype(np.uint8)
