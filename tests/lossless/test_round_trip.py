"""Exact coding gives back every bit of every type, whatever computes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deepstd.lossless import decode, encode
from deepstd.threads import limited_to

TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
ORDERS = ("<", ">")


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    """Same type, shape and bits; NaNs by their payload, zeros by their sign."""
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert got.tobytes() == expected.tobytes()


def assert_exact(voxels: np.ndarray) -> bytes:
    payload = encode(voxels)
    assert_same(decode(payload, voxels.shape, voxels.dtype, "scan"), voxels)
    return payload


@settings(max_examples=300)
@given(st.data())
def test_any_values_of_any_type(data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(TYPES))).newbyteorder(
        data.draw(st.sampled_from(ORDERS))
    )
    shape = data.draw(arrays.array_shapes(max_dims=4, max_side=6))
    count = int(np.prod(shape)) * dtype.itemsize
    if dtype.kind == "b":
        voxels = data.draw(arrays.arrays(dtype, shape))
    else:  # all bit patterns: NaNs with payloads, infinities, zeros of both signs
        bits = data.draw(st.binary(min_size=count, max_size=count))
        voxels = np.frombuffer(bits, dtype).reshape(shape)
    assert_exact(voxels)


@given(
    st.sampled_from([t for t in TYPES if t != "?"]),
    arrays.array_shapes(max_dims=4, max_side=9),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 1000]),
)
def test_smooth_values_of_any_type(
    dtype: str, shape: tuple[int, ...], seed: int, step: int
) -> None:
    walk = np.cumsum(np.random.default_rng(seed).integers(-1, 2, shape), -1) * step
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert_exact(walk.astype(dtype))


@pytest.mark.parametrize(
    "shape", [(1,), (1, 1), (300,), (1, 300), (300, 1), (2, 1, 90), (5, 1, 1, 7)]
)
def test_thin_scans(shape: tuple[int, ...]) -> None:
    assert_exact(np.random.default_rng(0).integers(0, 9, shape).astype("i2"))


@pytest.mark.parametrize("dtype", TYPES)
def test_a_constant_costs_nearly_nothing(dtype: str) -> None:
    assert len(assert_exact(np.ones((40, 40, 40), dtype))) < 60


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_odd_floats(dtype: str) -> None:
    info = np.finfo(dtype)
    odd = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, info.max, info.min, info.tiny]
    odd += [info.smallest_subnormal, -info.smallest_subnormal, info.eps, 1.0]
    assert_exact(np.array(odd * 5, dtype).reshape(5, -1))
    for value in odd:
        assert_exact(np.full((3, 4), value, dtype))


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_and_byte_order_change_no_voxel(order: Literal["C", "F"]) -> None:
    voxels = np.asarray(np.random.default_rng(0).integers(-99, 99, (7, 8, 9)), ">i2", order=order)
    view = voxels[::-1, :, ::2]
    assert_same(decode(encode(view), view.shape, view.dtype, "scan"), np.ascontiguousarray(view))


def test_arrays_of_other_kinds_are_refused() -> None:
    for wrong in (np.zeros(0), np.zeros((2, 0)), np.array(1), np.zeros((1,) * 5)):
        with pytest.raises(ValueError, match="axes"):
            encode(wrong)
    for kind in ("c8", "U3", "M8[s]", np.longdouble):
        with pytest.raises(ValueError, match="64 bits"):
            encode(np.zeros(3, kind))


def test_whole_floats_cost_as_much_as_integers(phantom: Callable[..., np.ndarray]) -> None:
    whole = phantom((30, 30, 30), "int16")
    plain = len(encode(whole))
    for same in (whole.astype("f4"), whole.astype("f8"), whole * 5, whole * np.float32(0.37)):
        assert len(assert_exact(same)) < plain + 30


def test_sparse_values_cost_as_much_as_their_ranks(phantom: Callable[..., np.ndarray]) -> None:
    ranks = phantom((40, 40, 40), "int16")
    table = np.cumsum(np.random.default_rng(0).integers(1, 9, 300))
    assert len(assert_exact(table[ranks].astype("u2"))) < 1.02 * len(encode(ranks)) + 300


def test_a_number_of_threads_changes_no_byte(phantom: Callable[..., np.ndarray]) -> None:
    scan = phantom((100, 80, 80))  # two slabs
    payloads = set()
    for threads in (1, 2):
        with limited_to(threads):
            payloads.add(assert_exact(scan))
    assert len(payloads) == 1


def test_frames_follow_each_other(phantom: Callable[..., np.ndarray]) -> None:
    """A frame costs little after one like it, in a scan of four axes."""
    one = phantom((24, 24, 8))
    film = np.stack([one, one + 1, one, one + 2], -1)
    assert len(assert_exact(film)) < 2 * len(encode(one))
