"""Interface of whatever supplies symbols: quantiser, range decoder or training loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from deepstd.texture.entropy.context import (
    Prediction,
)
from deepstd.texture.entropy.native_tile import TileCoder
from deepstd.texture.tiling import Region


class SymbolSource(Protocol):
    """Where the symbols of a level come from."""

    @property
    def coders(self) -> Sequence[TileCoder]:
        """Streams of the scans of a batch that the native engine can code; empty for none."""
        ...

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        """The last low subband in units, given its prediction (1 or B, 1, 1 …)."""
        ...

    def begin_tile(self, level: int, region: Region) -> None:
        """Called before the passes of each tile; ``region`` is its place on the level's grid."""
        ...

    def residuals(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        """What the symbols where ``coded`` is true add to the mean, zero elsewhere.

        Whole numbers of units, (B, bands, *tile), as ``mean``, the predicted value.
        """
        ...
