"""The search of a step by quality: few encodings, and the coarsest step that keeps the goal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.errors import RateError
from deepstd.quality import Quality
from deepstd.rate.by_quality import coarsest
from deepstd.rate.goal import QualityGoal
from deepstd.rate.start import StepScale

SCALE = StepScale(-4096, 16384, 1024)


@given(
    st.floats(0.4, 2.0), st.floats(-3000, 15000), st.integers(-4096, 16384), st.integers(0, 1 << 30)
)
def test_the_step_is_the_coarsest_that_keeps_the_goal(
    slope: float, exact: float, start: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.001, 1 << 15)
    tried: list[int] = []

    def excess(code: int) -> float:
        tried.append(code)
        return slope * (code - exact) / 1024 + noise[code + 4096]

    found = coarsest(excess, SCALE, start=start, within=0.01, narrow=4)
    assert found in tried
    assert slope * (found - exact) / 1024 + noise[found + 4096] >= 0
    assert slope * (found - exact) / 1024 < 0.03
    assert len(tried) == len(set(tried)) <= 14


def test_a_straight_line_takes_three_encodings() -> None:
    tried: list[int] = []

    def excess(code: int) -> float:
        tried.append(code)
        return 0.9 * (code - 5000) / 1024

    coarsest(excess, SCALE, start=3000, within=0.01)
    assert len(tried) <= 3


def test_no_step_keeps_it_or_all_do() -> None:
    assert coarsest(lambda code: -1.0, SCALE, start=0, within=0.01) == SCALE.highest
    assert coarsest(lambda code: math.inf, SCALE, start=0, within=0.01) == SCALE.lowest
    assert coarsest(lambda code: -math.inf, SCALE, start=0, within=0.01) == SCALE.highest


@pytest.mark.parametrize(
    ("goal", "quality", "expected"),
    [
        (QualityGoal("psnr", 40.0), Quality(1, 3, 46.0206, 0.9), 1.0),
        (QualityGoal("ssim", 0.8), Quality(1, 3, 46.0, 0.9), 1.0),
        (QualityGoal("mae", 4.0), Quality(1, 3, 46.0, 0.9), 1.0),
        (QualityGoal("max_error", 3.0), Quality(1, 3, 46.0, 0.9), -1.0),
        (QualityGoal("psnr", 40.0), Quality(0, 0, math.inf, 1.0), math.inf),
        (QualityGoal("ssim", 1.0), Quality(1, 3, 46.0, 0.9), -math.inf),
        (QualityGoal("psnr", 40.0), Quality(*[math.nan] * 4), math.inf),
        (QualityGoal("psnr", 40.0), Quality(1, 3, math.nan, math.nan), -math.inf),
        (QualityGoal("psnr", 40.0), Quality(math.inf, math.inf, -math.inf, 0.0), -math.inf),
    ],
)
def test_octaves_beyond_a_goal(goal: QualityGoal, quality: Quality, expected: float) -> None:
    slope = 2.0 if goal.measure in ("mae", "max_error") else 1.0
    assert goal.excess(quality, slope) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_goal_is_a_positive_number(value: float) -> None:
    for name in ("psnr", "ssim", "mae"):
        with pytest.raises(RateError, match=f"{name} must be"):
            QualityGoal(name, value)
    with pytest.raises(RateError, match="1 at most"):
        QualityGoal("ssim", 1.01)
