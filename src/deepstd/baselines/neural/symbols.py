"""Sources of symbols of a learned codec: encoder, decoder and training share one loop.

    latents less mean ─ quantiser ─▶ symbols ─ table of the scale ─▶ bits, stream
    stream ─ table of the scale ─▶ symbols ─ + mean ─▶ latents

The tables are the project's, for logistic distributions, in place of Gaussian ones. The quantiser
weighs the squared error against the bits, as that of the project does.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from deepstd.coding.backend import new_decoder, new_encoder
from deepstd.coding.tables import ScaleTables
from deepstd.texture.entropy.quantizer import quantize, symbol_savings

RATE_WEIGHT = 0.08
"""Squared steps that a bit is worth."""


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
        scale = whole(index)
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
        symbols = self._coder.decode(whole(index), self._tables)
        return mean + torch.from_numpy(symbols.astype(np.float32))


def whole(index: torch.Tensor) -> np.ndarray:
    """Return scale indices as uint8."""
    return index.numpy().astype(np.uint8)
