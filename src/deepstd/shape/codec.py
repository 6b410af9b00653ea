"""Entropy coding of a scan's deformation field.

FieldCode ─ Ω index, one symbol per mode with the bundle's scale ─ range coder ─▶ bytes
"""

from __future__ import annotations

import numpy as np

from deepstd.coding.backend import new_decoder, new_encoder
from deepstd.coding.tables import ScaleTables
from deepstd.errors import DamagedError
from deepstd.shape.model import SYMBOL_LIMIT, FieldCode, ShapeModel

# Scale index of the Ω index: a logistic scale of a quarter, as 0 is the most common.
_OMEGA_SCALE = np.array([12], dtype=np.uint8)


def encode_field(code: FieldCode, model: ShapeModel, tables: ScaleTables) -> bytes:
    """Encode a field to some tens of bytes."""
    coder = new_encoder()
    coder.encode(np.array([code.omega_index]), _OMEGA_SCALE, tables)
    coder.encode(code.symbols, model.scale_index[code.omega_index], tables)
    return coder.finish()


def decode_field(data: bytes, model: ShapeModel, tables: ScaleTables) -> FieldCode:
    """Decode the bytes of `encode_field`.

    Raises:
        DamagedError: the Ω index or a symbol is out of range.
    """
    coder = new_decoder(data)
    omega_index = int(coder.decode(_OMEGA_SCALE, tables)[0])
    if not 0 <= omega_index < len(model.omegas):
        raise DamagedError(
            f"the field asks for Ω number {omega_index}: expected 0 to {len(model.omegas) - 1}. "
            "The file is damaged."
        )
    symbols = coder.decode(model.scale_index[omega_index], tables)
    if np.abs(symbols).max(initial=0) > SYMBOL_LIMIT:
        raise DamagedError("the field has a symbol that is too large. The file is damaged.")
    return FieldCode(omega_index, symbols.astype(np.int32))
