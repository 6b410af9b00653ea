"""Interface of the sources of symbols: quantiser or range decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from deepstd.texture.entropy.context import Prediction
from deepstd.texture.entropy.native_tile import TileCoder
from deepstd.texture.tiling import Region


class SymbolSource(Protocol):
    """Source of the symbols of a level."""

    @property
    def coders(self) -> Sequence[TileCoder]:
        """Streams of the scans of a batch that the native engine can code; empty for none."""
        ...

    def last_low(self, prediction: np.ndarray) -> np.ndarray:
        """Code the last low-pass band; return it in 1/64 step.

        Args:
            prediction: predicted values in 1/64 step, (1 or B, 1, 1 …).
        """
        ...

    def begin_tile(self, level: int, region: Region) -> None:
        """Begin a tile, before its passes; ``region`` is the tile on the level's grid."""
        ...

    def residuals(self, mean: np.ndarray, prediction: Prediction, coded: np.ndarray) -> np.ndarray:
        """Code a pass; return the dequantised residuals, which are zero where ``coded`` is false.

        Args:
            mean: predicted coefficients in 1/64 step, (B, bands, *tile).
            prediction: distribution of the coefficients.
            coded: true at the coefficients of the pass, (1 or B, bands, *tile).

        Returns:
            Whole numbers in 1/64 step, (B, bands, *tile) float64.
        """
        ...
