"""The search for a size, on sizes that behave as those of files do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.errors import RateError
from deepstd.rate.search import SizeWindow, search
from deepstd.rate.start import Point, Start, StepScale, estimate, first_start, start_near
from deepstd.rate.target import LOWEST_FILL, Target, note_on_fill

_USUAL_START = Start(2048)
SCALE = StepScale(-4096, 16384, 1024)


def model_size(code: int, zone: float, scale: float, slope: float, fixed: int) -> int:
    return fixed + int(scale * 2 ** (slope * code / 1024) * (1.1 - zone))


def find(allowed: int, scale: float, slope: float, fixed: int, calls: list[int]) -> Point:
    def size(code: int, zone: float) -> int:
        calls.append(code)
        return model_size(code, zone, scale, slope, fixed)

    return searched(size, allowed)


def searched(
    size: Callable[[int, float], int],
    allowed: int,
    *,
    start: Start = _USUAL_START,
    weight: float = 0.1,
    last: Callable[[int, float], int] | None = None,
    fit: Callable[[Point], Point] | None = None,
) -> Point:
    return search(
        size,
        SizeWindow(allowed, LOWEST_FILL),
        SCALE,
        start=start,
        rate_weight=weight,
        describe=str,
        last=last,
        fit=fit,
    )


@given(st.floats(2e3, 1e7), st.floats(1, 1e4), st.floats(0.4, 1.2), st.integers(60, 400))
def test_the_window_is_met_in_few_encodings(
    allowed: float, scale: float, slope: float, fixed: int
) -> None:
    calls: list[int] = []
    target = int(allowed)
    coarsest = model_size(-4096, 0.1, scale, slope, fixed)
    if coarsest > target:
        with pytest.raises(RateError, match=str(coarsest)):
            find(target, scale, slope, fixed, calls)
        return
    found = find(target, scale, slope, fixed, calls)
    assert found.nbytes <= target
    # Without a weight for rate, the finest step gives the largest file that there is.
    largest = model_size(16384, 0.0, scale, slope, fixed)
    assert found.nbytes >= LOWEST_FILL * target or found.nbytes == largest
    assert len(calls) <= 40


@given(st.floats(2e3, 1e7), st.floats(0.4, 1.2))
def test_an_estimate_on_a_part_saves_encodings_of_the_whole(scale: float, slope: float) -> None:
    calls: list[int] = []
    wanted = int(0.1 * model_size(5000, 0.1, scale, slope, 0))
    start = estimate(
        lambda code: model_size(code, 0.1, 0.1 * scale, slope, 0),
        wanted,
        start=Start(4000),
        octave=1024,
    )
    assert abs(start.step_code - 5000) < 64
    assert start.slope == pytest.approx(slope, abs=0.05)
    searched(
        lambda code, zone: calls.append(code) or model_size(code, zone, scale, slope, 0),
        10 * wanted,
        start=start,
    )
    assert len(calls) <= 3


@given(st.floats(0.6, 1.2), st.integers(10**5, 10**8), st.floats(0.005, 0.15), st.floats(2.5, 4.2))
def test_significant_coefficients_tell_where_to_begin(
    slope: float, voxels: int, share: float, bits: float
) -> None:
    """Coefficients of real scans took 2.5 to 4.2 bits each: an octave of bytes is a wide margin."""

    def significant(code: int) -> float:
        return min(share * voxels * 2 ** (slope * (code - 3000) / 1024), voxels)

    wanted = int(share * voxels * bits / 8)
    start = first_start(significant, voxels, wanted, SCALE)
    assert abs(start.step_code - 3000) * slope < 1024
    assert slope <= start.slope <= 1.5
    more = first_start(significant, voxels, 2 * wanted, SCALE)
    assert more.step_code > start.step_code


def test_a_scan_without_significant_coefficients_has_a_start_in_range() -> None:
    start = first_start(lambda _: 0.0, 1000, 500, SCALE)
    assert -4096 <= start.step_code <= 16384


def test_an_encoding_like_the_wanted_one_tells_where_to_begin() -> None:
    near = start_near(Point(3000, 0.08, 1000), 2000, slope=0.5, rate_weight=0.08, octave=1024)
    assert near == Start(3000 + 2 * 1024, 0.5)
    # The weight that it had, larger than usual, has made it smaller.
    weighed = start_near(Point(3000, 0.1, 1000), 1000, slope=1, rate_weight=0.08, octave=1024)
    assert weighed.step_code < 3000


def test_where_neighbouring_steps_miss_the_window_others_are_tried() -> None:
    def size(code: int, weight: float) -> int:
        # The nearest two are too small and too large, whatever the weight; one further off fits.
        return 225 if code == 2047 else 220 + 10 * (code > 2050)

    found = searched(size, 225, start=Start(2050), last=size)
    assert (found.step_code, found.nbytes) == (2047, 225)


def test_where_tiles_miss_the_window_at_neighbouring_steps_others_are_tried() -> None:
    """Tiles of the nearest two steps have no size in the window; those of one further off do."""
    encoded: list[int] = []

    def size(code: int, weight: float) -> int:
        encoded.append(code)
        return 50_000 + 20_000 * (code > 2050)

    def fit(point: Point) -> Point:
        assert encoded[-1] == point.step_code
        return replace(point, nbytes=59_990 if point.step_code == 2048 else 40_000)

    found = searched(size, 60_000, start=Start(2050), fit=fit)
    assert (found.step_code, found.nbytes) == (2048, 59_990)
    encoded.clear()
    missed = searched(size, 60_000, start=Start(2050), fit=lambda point: point)
    assert missed.nbytes == 50_000
    assert len(encoded) < 30


def test_a_size_that_is_not_filled_is_told() -> None:
    assert note_on_fill(997, 1000, exact=False) is None
    told = note_on_fill(7887, 8192, exact=False)
    assert told is not None
    assert "7887 of the 8192 bytes asked for (96.3 %)" in told
    exact = note_on_fill(100, 1000, exact=True)
    assert exact is not None
    assert "exactly" in exact


def test_a_scan_that_needs_less_is_not_padded() -> None:
    assert find(10**9, 10.0, 0.5, 100, []) == Point(16384, 0.0, model_size(16384, 0, 10, 0.5, 100))


@pytest.mark.parametrize(
    "values", [{}, {"ratio": 2.0, "bpv": 1.0}, {"ratio": -1.0}, {"bpv": float("nan")}]
)
def test_a_target_is_one_positive_number(values: dict[str, float]) -> None:
    with pytest.raises(RateError):
        Target(**values)  # type: ignore[arg-type]


def test_targets_are_bytes_of_the_whole_file() -> None:
    assert Target(ratio=64).bytes_for(1000, 2000) == 31
    assert Target(bpv=0.25).bytes_for(1000, 2000) == 31
    assert Target(max_bytes=77).bytes_for(1000, 2000) == 77


def test_last_bytes_are_met_where_no_symbol_depends_on_others() -> None:
    """Sizes that jump with the weight of all symbols, as a trellis makes them."""
    calls: list[float] = []

    def size(code: int, weight: float) -> int:
        jump = 1 + 0.05 * math.sin(1e5 * (weight + code))
        return round(jump * model_size(code, 0.08, 10.0, 0.7, 100))

    def last(code: int, weight: float) -> int:
        calls.append(weight)
        return round(size(code, 0.08) * (1 - 0.3 * (weight - 0.08)))

    for allowed in range(5000, 6000, 50):
        point = searched(size, allowed, weight=0.08, last=last)
        assert LOWEST_FILL * allowed <= point.nbytes <= allowed
        assert point.rate_weight == 0.08
    assert calls


def test_all_symbols_meet_the_last_bytes_where_no_others_are_left() -> None:
    point = searched(
        lambda code, weight: model_size(code, weight, 10.0, 0.7, 100),
        5000,
        weight=0.08,
        last=lambda code, weight: model_size(code, 0.08, 10.0, 0.7, 100),
    )
    assert LOWEST_FILL * 5000 <= point.nbytes <= 5000
