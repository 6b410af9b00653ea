"""Sources of symbols on tensors: the training loss, or a source of the coder.

SymbolSource (arrays) ─ OnTensors ─▶ TensorSource
"""

from __future__ import annotations

from typing import Protocol

import torch

from deepstd.texture.entropy import context
from deepstd.texture.entropy.source import SymbolSource
from deepstd.texture.networks.context import Prediction
from deepstd.texture.tiling import Region


class TensorSource(Protocol):
    """Source of the symbols of a level (`entropy.source.SymbolSource`), on tensors."""

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """Code the last low-pass band; return it in 1/64 step.

        Args:
            prediction: predicted values in 1/64 step, (1 or B, 1, 1 …).
        """
        ...

    def begin_tile(self, level: int, region: Region) -> None:
        """Begin a tile, before its passes; ``region`` is the tile on the level's grid."""
        ...

    def residuals(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """Code a pass; return the dequantised residuals, which are zero where ``coded`` is false.

        Args:
            mean: predicted coefficients in 1/64 step, (B, bands, *tile).
            prediction: distribution of the coefficients.
            coded: true at the coefficients of the pass, (1 or B, bands, *tile).
        """
        ...


class OnTensors:
    """A coder's source of symbols for networks in torch.

    Args:
        source: source on arrays.
    """

    def __init__(self, source: SymbolSource) -> None:
        self._source = source

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """Code the last low-pass band; return it in 1/64 step."""
        low = self._source.last_low(prediction.double().cpu().numpy())
        return torch.from_numpy(low).to(prediction)

    def begin_tile(self, level: int, region: Region) -> None:
        """Begin a tile, before its passes."""
        self._source.begin_tile(level, region)

    def residuals(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """Code a pass; return the dequantised residuals, zero elsewhere."""
        found = self._source.residuals(
            mean.double().cpu().numpy(), arrays_of(prediction), coded.cpu().numpy()
        )
        return torch.from_numpy(found).to(mean)


def arrays_of(prediction: Prediction) -> context.Prediction:
    """Convert a distribution from tensors to arrays."""
    mean, scale, gate = (None if part is None else part.cpu().numpy() for part in prediction)
    if mean is None or scale is None:
        raise ValueError("a distribution has a mean and a scale")
    return context.Prediction(mean, scale, gate)
