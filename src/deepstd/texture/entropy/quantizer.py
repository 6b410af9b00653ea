"""Scalar quantiser with rate-distortion optimised dead zones.

    residual, scale index ─ bits that the next smaller magnitude saves ─ D + λ R ─▶ symbol

The symbol is the nearest integer or the next one towards zero, which has more distortion and fewer
bits. The choice depends on the scale that the context model predicts, so the dead zone adapts to
it. The decoder does not depend on the choice.
"""

from __future__ import annotations

import numpy as np

from deepstd.coding.tables import PLAIN, SCALE_COUNT, ScaleTables, magnitude_bits

LARGEST = 24
"""Largest magnitude whose bits are tabulated; larger magnitudes are rare."""


def symbol_savings(tables: ScaleTables) -> np.ndarray:
    """Return the bits that the next smaller magnitude saves, float32 (64, 26).

    Rows are scale indices, columns the magnitudes 0 … 24 and all larger magnitudes. The savings are
    zero at magnitude 0, at larger magnitudes, and at scales that split symbols.
    """
    savings = np.zeros((SCALE_COUNT, LARGEST + 2), dtype=np.float32)
    savings[:, 1:-1] = np.diff(magnitude_bits(tables, PLAIN, LARGEST))
    return savings


def quantize(
    residual: np.ndarray,
    scale_index: np.ndarray,
    savings: np.ndarray,
    rate_weight: float | np.ndarray,
) -> np.ndarray:
    """Quantise residuals to whole-number symbols, int64.

    Args:
        residual: coefficient less prediction in steps, any shape.
        scale_index: scale index of each residual, whole numbers of the same shape.
        savings: bits saved by the next smaller magnitude, from `symbol_savings`.
        rate_weight: λ, squared steps that a bit is worth, of all or of each residual; 0 rounds to
            the nearest.
    """
    magnitude = np.abs(residual)
    nearest = np.floor(magnitude + 0.5)
    saved = savings[scale_index.astype(np.intp), np.minimum(nearest, LARGEST + 1).astype(np.intp)]
    # (m − n + 1)² − (m − n)² for magnitude m and nearest symbol n
    worse = 2 * (magnitude - nearest) + 1
    symbol = nearest - (worse < rate_weight * saved)
    return (np.sign(residual) * symbol).astype(np.int64)
