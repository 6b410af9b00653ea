"""Peaks and Bjøntegaard differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.errors import InputError
from deepstd.evaluate import bd_psnr, bd_rate, percentile_peak, range_peak

RATES = [100, 200, 400, 800]
PSNRS = [30.0, 33.5, 36.0, 40.0]


def test_peaks() -> None:
    ramp = np.arange(1001, dtype=np.float32).reshape(7, 143)
    assert range_peak(ramp) == 1000
    assert percentile_peak(ramp) == pytest.approx(990)
    ramp[0, 0] = np.nan
    assert range_peak(ramp) == 999
    assert math.isnan(percentile_peak(np.full((2, 2), np.nan)))


@given(st.floats(0.3, 2.0))
def test_bd_rate_of_a_constant_factor(factor: float) -> None:
    sizes = [factor * rate for rate in RATES]
    assert bd_rate(RATES, PSNRS, sizes, PSNRS) == pytest.approx(100 * (factor - 1), abs=1e-6)


@given(st.floats(-2.0, 2.0))
def test_bd_psnr_of_a_constant_gain(gain: float) -> None:
    assert bd_psnr(RATES, PSNRS, RATES, [p + gain for p in PSNRS]) == pytest.approx(gain)


def test_bd_rate_against_a_hand_computed_line() -> None:
    # 6 dB for every doubling, one curve half a doubling (3 dB) behind.
    reference = [30.0, 36.0, 42.0]
    behind = [27.0, 33.0, 39.0]
    assert bd_rate(RATES[:3], reference, RATES[:3], behind) == pytest.approx(100 * (2**0.5 - 1))


def test_order_of_points_does_not_matter() -> None:
    shuffled = bd_rate(RATES[::-1], PSNRS[::-1], [90, 180, 360, 720], PSNRS)
    assert shuffled == pytest.approx(-10)


@pytest.mark.parametrize(
    ("rates", "psnrs", "message"),
    [
        ([100], [30.0], "at least two"),
        ([100, 200], [30.0], "at least two"),
        ([0, 200], [30.0, 31.0], "positive"),
        ([100, 200], [30.0, math.inf], "finite"),
        ([100, 200], [31.0, 30.0], "grow"),
        ([100, 200], [50.0, 55.0], "overlap"),
    ],
)
def test_useless_curves_are_refused(rates: list[int], psnrs: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bd_rate(RATES, PSNRS, rates, psnrs)
