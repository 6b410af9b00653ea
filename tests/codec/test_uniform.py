"""No voxel errs by more than the bound, of any type and at any bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deepstd
from deepstd.codec import exact
from deepstd.codec.uniform import UniformQuantiser
from deepstd.coding.bytes import Cursor
from deepstd.container import parse
from deepstd.errors import RateError
from deepstd.progress import Progress
from deepstd.rate.bound import ErrorBound
from deepstd.volume import Volume

TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "?")


@st.composite
def voxels(draw: st.DrawFn) -> np.ndarray:
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    if dtype.kind != "f":
        limits = np.iinfo("u1" if dtype.kind == "b" else dtype)
        low, high = sorted(draw(st.integers(limits.min, limits.max)) for _ in range(2))
        return rng.integers(low, high, (4, 5, 3), limits.dtype, endpoint=True).astype(dtype)
    scale = draw(st.floats(1e-6, float(np.finfo(dtype).max) / 8))
    found = (rng.normal(size=(4, 5, 3)) * scale).clip(-4 * scale, 4 * scale).astype(dtype)
    for value in draw(st.sets(st.sampled_from([np.nan, np.inf, -np.inf, 0.0]))):
        found[rng.integers(4), rng.integers(5), rng.integers(3)] = value
    return found


def error_of(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of finite voxels, exact for integers."""
    if one.dtype.kind != "f":
        pairs = zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True)
        return float(max(abs(a - b) for a, b in pairs))
    finite = np.isfinite(one)
    np.testing.assert_array_equal(one[~finite], other[~finite])
    with np.errstate(over="ignore"):
        return float(np.abs(one[finite].astype(float) - other[finite].astype(float)).max(initial=0))


@given(voxels(), st.floats(1e-4, 0.2) | st.floats(0.5, 60.0))
def test_the_bound_holds(found: np.ndarray, wanted: float) -> None:
    bound = ErrorBound(wanted, of_range=wanted < 0.5)
    data = exact.encode(Volume(found), Progress(), bound).data
    restored = exact.decode(parse(data, "x")).voxels
    assert restored.dtype == found.dtype
    finite = found[np.isfinite(found)] if found.dtype.kind == "f" else found
    span = float(finite.max()) - float(finite.min()) if finite.size else 0.0
    allowed = wanted * span if bound.of_range else wanted
    assert error_of(found, restored) <= allowed * (1 + 1e-12)


@given(voxels(), st.floats(0.5, 1e6))
def test_steps_come_back_from_their_bytes(found: np.ndarray, wanted: float) -> None:
    steps = UniformQuantiser.within(found, wanted)
    if steps is not None:
        again = UniformQuantiser.read(Cursor(steps.pack(), "x", "voxels"), found.dtype)
        np.testing.assert_array_equal(
            again.voxels(again.codes(found), found.dtype),
            steps.voxels(steps.codes(found), found.dtype),
        )


def test_special_values_beside_the_largest_floats() -> None:
    found = np.array([[-4e307, 4e307, np.inf], [-np.inf, np.nan, 1e306]])
    data = exact.encode(Volume(found), Progress(), ErrorBound(0.2, of_range=True)).data
    assert error_of(found, exact.decode(parse(data, "x")).voxels) <= 0.2 * 8e307 * (1 + 1e-12)


def test_a_wider_bound_takes_fewer_bytes(
    tmp_path: Path, phantom: Callable[..., np.ndarray]
) -> None:
    scan, sizes = phantom((32, 32, 20), "int16"), []
    for bound in (1, 2, 4, "4%"):
        report = deepstd.compress(scan, tmp_path / "x.dstd", max_error=bound, overwrite=True)
        assert report.max_error <= (0.04 * float(np.ptp(scan)) if bound == "4%" else float(bound))
        assert not report.lossless
        assert not deepstd.info(tmp_path / "x.dstd").lossless
        sizes.append(report.file_bytes)
    assert sizes == sorted(sizes, reverse=True)
    assert deepstd.verify(tmp_path / "x.dstd", against=scan).as_stated


def test_a_bound_below_one_is_lossless_for_integers(
    tmp_path: Path, phantom: Callable[..., np.ndarray]
) -> None:
    scan = phantom((16, 16, 8), "uint8")
    assert deepstd.compress(scan, tmp_path / "x.dstd", max_error=0.9).lossless
    np.testing.assert_array_equal(deepstd.decompress(tmp_path / "x.dstd").voxels, scan)


def test_units_are_those_of_the_scan(data_dir: Path, tmp_path: Path) -> None:
    report = deepstd.compress(
        data_dir / "chest-ct-slices" / "ID_0000_AGE_0060_CONTRAST_1_CT.dcm",
        tmp_path / "ct.dstd",
        max_error=8,
    )
    assert report.unit == "HU"
    assert 6 <= report.max_error <= 8


@pytest.mark.parametrize("wanted", ["0", "-1", "x", "nan", "inf", "0%", ""])
def test_no_bound(wanted: str) -> None:
    with pytest.raises(RateError):
        ErrorBound.of(wanted)


@pytest.mark.parametrize("options", [{"min_psnr": 40}, {"lossless": True}, {"mae": 1.0}])
def test_a_bound_excludes_others(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(RateError, match=r"give (no size|one of max_error)"):
        deepstd.compress(np.zeros((4, 4)), tmp_path / "x.dstd", max_error=1, **options)
