"""The plain quantiser of `quantizer` on the native engine, for a pass at a time.

targets · factor − means ─ residuals ─ + corrections ─ aims ─ quantiser ─▶ symbols
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from deepstd.engine.library import address
from deepstd.texture.entropy.native_passes import Expected


@dataclass(frozen=True)
class PassTargets:
    """True coefficients of a tile, as the engine reads them.

    Attributes:
        values: (bands, *tile) float64, normalised.
        factor: units of a normalised value.
        corrections: (bands, *tile) float32, steps to add to the residuals, or None.
    """

    values: np.ndarray
    factor: float
    corrections: np.ndarray | None

    @staticmethod
    def of(target: torch.Tensor, factor: float, correction: torch.Tensor | None) -> PassTargets:
        """Return the targets of one scan, given as (1, bands, *tile)."""
        values = np.ascontiguousarray(target[0].numpy(), np.float64)
        if correction is None:
            return PassTargets(values, factor, None)
        return PassTargets(values, factor, np.ascontiguousarray(correction[0].numpy(), np.float32))


@dataclass(frozen=True)
class PlainPass:
    """A pass as the plain quantiser chooses it.

    Attributes:
        residuals: (n,) float64, true less expected coefficients, in steps.
        aims: (n,) float64, residuals with corrections.
        symbols: (n,) int64.
        savings: (64, 26) float32, see `quantizer.symbol_savings`.
        rate_weight: squared steps that a bit is worth.
    """

    residuals: np.ndarray
    aims: np.ndarray
    symbols: np.ndarray
    savings: np.ndarray
    rate_weight: float

    def with_scales(self, library: Any, scales: np.ndarray) -> PlainPass:
        """Return the pass quantised with other scale indices, (n,) uint8."""
        symbols = np.empty_like(self.symbols)
        library.pass_requantize(
            *(address(self.aims), address(scales), scales.size, address(self.savings)),
            *(self.rate_weight, address(symbols)),
        )
        return replace(self, symbols=symbols)


def quantize_pass(
    expected: Expected, targets: PassTargets, savings: np.ndarray, rate_weight: float
) -> PlainPass:
    """Quantise the coefficients of a pass with the plain quantiser."""
    count = expected.means.size
    residuals, aims, symbols = np.empty(count), np.empty(count), np.empty(count, np.int64)
    corrections = targets.corrections
    expected.library.pass_quantize(
        *(address(targets.values), targets.factor),
        None if corrections is None else address(corrections),
        *(address(expected.means), address(expected.scales), address(expected.places)),
        *(count, address(savings), rate_weight, *map(address, (residuals, aims, symbols))),
    )
    return PlainPass(residuals, aims, symbols, savings, rate_weight)
