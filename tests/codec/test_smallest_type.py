"""The smallest type that holds every value of a scan exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from deepstd.codec.smallest_type import smallest_type

TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4")
STORED = ("f8", "f4", "i8", "u8", "i4", "u4", ">f8", ">i4")
WHOLE = st.integers(-(2**33), 2**33).map(float)
ELEMENTS = {
    ">f8": st.one_of(WHOLE, st.floats(width=32), st.floats()),
    "f8": st.one_of(WHOLE, st.floats(width=32), st.floats()),
    "f4": st.one_of(st.integers(-70000, 70000).map(float), st.floats(width=32)),
}


@given(st.data(), st.sampled_from(STORED))
def test_it_holds_every_value_and_no_smaller_one_does(data: st.DataObject, stored: str) -> None:
    voxels = data.draw(npst.arrays(stored, (3, 4), elements=ELEMENTS.get(stored)))
    found = smallest_type(voxels)
    sizes = {dtype: dtype.itemsize for name in TYPES if holds(dtype := np.dtype(name), voxels)}
    smaller = {d: size for d, size in sizes.items() if size < voxels.dtype.itemsize}
    assert (found is None) == (not smaller)
    if found is not None:
        assert sizes[found] == min(smaller.values())


def holds(dtype: np.dtype, voxels: np.ndarray) -> bool:
    """Whether a type holds values, told by Python's numbers; integers only as integers."""
    exact = [value.item() for value in voxels.flat]
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            singles = [float(np.float32(value)) for value in exact]
        same = (a != a or a == b for a, b in zip(exact, singles, strict=True))
        return voxels.dtype.kind == "f" and all(same)
    limits = np.iinfo(dtype)
    return all(
        abs(value) < float("inf") and value == int(value) and limits.min <= value <= limits.max
        for value in exact
    )


@pytest.mark.parametrize(
    ("low", "high", "stored", "expected"),
    [
        (-1024, 3071, "f8", "i2"),
        (-1024, 3071, "f4", "i2"),
        (0, 255, "f8", "u1"),
        (-1, 255, "f8", "i2"),
        (0, 65535, "i4", "u2"),
        (0, 65536, "f8", "u4"),
        (0, 2**32, "f8", "f4"),
        (0, 2**32, "i8", None),
        (0, 255, "u2", None),
    ],
)
def test_ranges(low: int, high: int, stored: str, expected: str | None) -> None:
    voxels = np.array([[low, high], [low, low]], stored)
    assert smallest_type(voxels) == (None if expected is None else np.dtype(expected))


def test_one_value_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstd.quality._SLAB_VOXELS", 50)
    voxels = np.arange(2000, dtype="f8").reshape(20, 10, 10)
    assert smallest_type(voxels) == np.dtype("u2")
    voxels[19, 9, 9] = 0.5
    assert smallest_type(voxels) == np.dtype("f4")
    voxels[19, 9, 9] = 0.1
    assert smallest_type(voxels) is None
    for value in (np.nan, np.inf, -np.inf):
        voxels[19, 9, 9] = value
        assert smallest_type(voxels) == np.dtype("f4")
