"""Chunks of arrays: what comes back, what padding costs, and damage."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.codec.uniform import largest_error
from deepstd.errors import DamagedError, RateError
from deepstd.zarr import chunk
from deepstd.zarr.fidelity import Fidelity

LOSSLESS = Fidelity(lossless=True)
TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
Phantom = Callable[..., np.ndarray]


@st.composite
def padded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A chunk of 1 to 5 axes with any values, planes of fill on some sides, and the fill value."""
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    values = draw(arrays.arrays(dtype, arrays.array_shapes(max_dims=5, max_side=4)))
    fill = draw(arrays.arrays(dtype, ()))
    sides = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in values.shape]
    return np.pad(values, sides, constant_values=fill[()]), fill


@given(padded())
def test_every_bit_comes_back(case: tuple[np.ndarray, np.ndarray]) -> None:
    values, fill = case
    data = chunk.encode(values, fill, LOSSLESS)
    assert chunk.decode(data, values.shape, fill).tobytes() == values.tobytes()


@given(padded(), st.floats(0.01, 100))
def test_no_value_errs_by_more(case: tuple[np.ndarray, np.ndarray], bound: float) -> None:
    values, fill = case
    data = chunk.encode(values, fill, Fidelity(max_error=bound))
    found = chunk.decode(data, values.shape, fill)
    assert found.dtype == values.dtype
    assert largest_error(values, found) <= bound
    if values.dtype.kind == "f":
        for kind in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(kind(found), kind(values))


@pytest.mark.parametrize("fidelity", [LOSSLESS, Fidelity(max_error=3)], ids=["lossless", "bound"])
def test_byte_order_and_memory_order_change_no_byte(phantom: Phantom, fidelity: Fidelity) -> None:
    values, fill = phantom((8, 9, 10)), np.array(0, "i2")
    data = chunk.encode(values, fill, fidelity)
    assert chunk.encode(values.astype(">i2"), fill.astype(">i2"), fidelity) == data
    assert chunk.encode(np.asfortranarray(values), fill, fidelity) == data
    swapped = chunk.decode(data, values.shape, fill.astype(">i2"))
    assert swapped.dtype == np.dtype(">i2")
    np.testing.assert_array_equal(swapped, chunk.decode(data, values.shape, fill))


@pytest.mark.parametrize("fill", [0, 77, -1024])
def test_padding_costs_next_to_nothing(phantom: Phantom, fill: int) -> None:
    values, value = phantom((20, 32, 27)), np.array(fill, "i2")
    alone = len(chunk.encode(values, value, LOSSLESS))
    around = np.pad(values, ((0, 44), (0, 32), (3, 2)), constant_values=fill)
    assert alone < len(chunk.encode(around, value, LOSSLESS)) <= alone + 6


@pytest.mark.usefixtures("only_tiny")
def test_ratio_is_that_of_the_values_without_padding(phantom: Phantom) -> None:
    values, fill = phantom((24, 40, 32)), np.array(-5, "i2")
    around = np.pad(values, ((0, 8), (0, 24), (0, 32)), constant_values=-5)
    fidelity = Fidelity(ratio=8, model="tiny")
    data = chunk.encode(around, fill, fidelity)
    assert 0.97 * values.nbytes / 8 <= len(data) <= values.nbytes / 8
    found = chunk.decode(data, around.shape, fill)
    inside = tuple(slice(n) for n in values.shape)
    errors = np.abs(found[inside].astype(int) - values)
    assert 0 < errors.mean() < 20
    found[inside] = -5
    assert (found == -5).all()


@pytest.mark.usefixtures("only_tiny")
@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 1, 7, 6), (2, 2, 9, 8, 7)])
def test_a_chunk_too_small_for_the_ratio_is_written_all_the_same(
    phantom: Phantom, shape: tuple[int, ...]
) -> None:
    values, fill = phantom(shape, "uint16"), np.array(0, "u2")
    data = chunk.encode(values, fill, Fidelity(ratio=300, model="tiny"))
    assert len(data) <= values.nbytes + 60
    assert chunk.decode(data, shape, fill).shape == shape


@pytest.mark.usefixtures("only_tiny")
def test_nan_survives_a_ratio(phantom: Phantom) -> None:
    values = phantom((16, 16, 16), "float32")
    values[3:6, 4:8, 5] = np.nan
    fill = np.array(np.nan, "f4")
    data = chunk.encode(values, fill, Fidelity(ratio=6, model="tiny"))
    found = chunk.decode(data, values.shape, fill)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))


@pytest.mark.usefixtures("only_tiny")
@pytest.mark.parametrize("given_", [{"lossless": True}, {"max_error": 2}, {"ratio": 8}], ids=str)
def test_damage_is_noticed(phantom: Phantom, given_: dict[str, float]) -> None:
    model = {"model": "tiny"} if "ratio" in given_ else {}
    values, fill = np.pad(phantom((12, 12, 12)), 1), np.array(0, "i2")
    data = chunk.encode(values, fill, Fidelity.read({**given_, **model}))
    for place in range(0, len(data), max(1, len(data) // 50)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(DamagedError, match="chunk"):
            chunk.decode(bytes(broken), values.shape, fill)
        with pytest.raises(DamagedError, match="chunk"):
            chunk.decode(data[:place], values.shape, fill)
    with pytest.raises(DamagedError):
        chunk.decode(data, (14, 14, 9), fill)


@pytest.mark.parametrize(
    "given_",
    [
        {},
        {"lossless": False},
        {"lossless": True, "ratio": 4},
        {"max_error": 0},
        {"max_error": "1%"},
        {"ratio": float("nan")},
        {"ratio": True},
        {"lossless": 1},
        {"lossless": True, "model": "generic2"},
        {"ratio": 4, "model": 7},
        {"ratio": 4, "level": 3},
    ],
    ids=str,
)
def test_a_configuration_that_makes_no_sense_is_refused(given_: dict[str, object]) -> None:
    with pytest.raises(RateError):
        Fidelity.read(given_)
