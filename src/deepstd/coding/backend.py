"""Choice of the implementation: the native engine where it is installed, else the reference.

engine ─▶ `native`    (one call a pass)
none   ─▶ `range_coder`, `trellis`    (constriction and numpy; the same bytes)
"""

from __future__ import annotations

import numpy as np

from deepstd.coding import native, trellis
from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.coding.tables import ScaleTables
from deepstd.engine.library import engine

Encoder = RangeEncoder | native.NativeEncoder
Decoder = RangeDecoder | native.NativeDecoder


def new_encoder() -> Encoder:
    """Return an encoder of a new stream."""
    library = engine()
    return RangeEncoder() if library is None else native.NativeEncoder(library)


def new_decoder(data: bytes) -> Decoder:
    """Return a decoder of a stream."""
    library = engine()
    return RangeDecoder(data) if library is None else native.NativeDecoder(library, data)


def search_trellis(
    residual: np.ndarray,
    scale_index: np.ndarray,
    lanes: int,
    tables: ScaleTables,
    rate_weight: float,
    prices: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the TCQ symbols of least rate-distortion cost, and their quantisers.

    Args:
        residual: coefficient less prediction in steps, (n,), in the order of `Arrangement.tcq`.
        scale_index: scale index of each residual, (n,) uint8.
        lanes: number of lanes.
        tables: frequencies.
        rate_weight: λ, squared steps that a bit is worth.
        prices: factor of λ of each residual, float32 (n,); None for 1.

    Returns:
        Symbols (int64) and quantisers (uint8, EVEN or ODD), (n,).
    """
    library = engine()
    if library is None:
        return trellis.search(residual, scale_index, lanes, tables, rate_weight, prices)
    return native.search_trellis(library, residual, scale_index, lanes, tables, rate_weight, prices)
