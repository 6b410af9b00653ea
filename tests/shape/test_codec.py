"""A field survives its bytes, and damaged bytes are either refused or a field."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepstd.coding.tables import parametric_tables
from deepstd.errors import DamagedError
from deepstd.shape import FieldCode, ShapeModel
from deepstd.shape.codec import decode_field, encode_field
from deepstd.shape.model import SYMBOL_LIMIT

TABLES = parametric_tables()
MODES = 12
LARGE = st.lists(st.integers(-SYMBOL_LIMIT, SYMBOL_LIMIT), min_size=MODES, max_size=MODES)
SMALL = st.lists(st.integers(-3, 3), min_size=MODES, max_size=MODES)


def test_every_field_survives(any_model: ShapeModel) -> None:
    @given(st.integers(0, 2), LARGE | SMALL)
    def survives(omega_index: int, symbols: list[int]) -> None:
        code = FieldCode(omega_index, np.array(symbols, dtype=np.int32))
        found = decode_field(encode_field(code, any_model, TABLES), any_model, TABLES)
        assert found.omega_index == omega_index
        assert found.symbols.tolist() == symbols

    survives()


def test_damaged_bytes_do_no_harm(any_model: ShapeModel) -> None:
    @given(st.binary(max_size=40))
    def harmless(data: bytes) -> None:
        try:
            code = decode_field(data, any_model, TABLES)
        except DamagedError:
            return
        assert code.symbols.shape == (MODES,)
        assert 0 <= code.omega_index < 3

    harmless()
