"""Frequency tables of the symbols that an encoder chooses.

residuals, scale indices of training crops ─ quantisers ─▶ symbols ─ counts ─▶ tables ─┐
                                                 ▲ bits of symbols ────────────────────┘
"""

from __future__ import annotations

import numpy as np

from deepstd.coding.tables import PLAIN, ScaleTables, symbol_counts, tables_from_counts
from deepstd.coding.trellis import FIRST_INDEX, arranged, search
from deepstd.texture.entropy.quantizer import quantize, symbol_savings

_ROUNDS = 4
_MOST_TCQ = 1 << 20


def fitted_tables(
    residual: np.ndarray, scale_index: np.ndarray, tables: ScaleTables, rate_weight: float
) -> ScaleTables:
    """Fit tables to the symbols that the quantisers choose, in a few rounds.

    The rounds are needed as the quantisers weigh distortion against the bits of the tables.

    Args:
        residual: (n,) float32, residuals in steps.
        scale_index: (n,) uint8, scale index of each residual.
        tables: tables of the first round.
        rate_weight: λ, squared steps a bit.
    """
    tcq = np.flatnonzero(scale_index >= FIRST_INDEX)
    if tcq.size > _MOST_TCQ:
        tcq = np.random.default_rng(0).choice(tcq, _MOST_TCQ, replace=False)
    order = arranged(scale_index[tcq])
    tcq = tcq[order.tcq]
    for _ in range(_ROUNDS):
        scalar = quantize(residual, scale_index, symbol_savings(tables), rate_weight)
        symbols, quantizer = search(
            residual[tcq], scale_index[tcq], order.lanes, tables, rate_weight
        )
        tables = tables_from_counts(
            symbol_counts(
                np.concatenate([scalar, symbols]),
                np.concatenate([scale_index, scale_index[tcq]]),
                np.concatenate([np.full(scalar.size, PLAIN), quantizer]),
            )
        )
    return tables
