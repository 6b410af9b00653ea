"""Values of slices, windows and histograms, against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deepstd.viewer.values import BINS, Channel, Histogram, difference_of, histogram_of
from deepstd.viewer.windows import windows_of

INTEGERS = arrays.arrays(
    np.int16,
    arrays.array_shapes(min_dims=2, max_dims=4, max_side=7),
    elements=st.integers(-30000, 30000),
)


@given(INTEGERS, st.sampled_from([1.0, -2.0, 0.5]), st.integers(-1000, 1000))
def test_every_voxel_is_counted_in_its_bin(
    voxels: np.ndarray, slope: float, intercept: float
) -> None:
    channel = Channel(voxels, slope, float(intercept))
    low, high = channel.range
    values = voxels * slope + intercept
    assert (low, high) == (values.min(), values.max())
    for whole in (True, False):
        if whole and slope == 0.5:
            continue
        found = histogram_of(channel, low, high, whole=whole)
        assert len(found.counts) <= BINS
        edges = found.low + found.width * np.arange(len(found.counts) + 1)
        if whole:  # no integer lies on an edge, so both count the same
            assert edges[0] < low
            assert high < edges[-1]
            assert found.counts.tolist() == np.histogram(values, edges)[0].tolist()
        assert found.counts.sum() == voxels.size


@given(INTEGERS, st.integers(0, 2**32))
def test_differences(voxels: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).integers(-400, 400, voxels.shape).astype(np.int16)
    found = difference_of(Channel(voxels, 1.0, 0.0), Channel(other, 1.0, 3.0), whole=True)
    errors = other.astype(int) + 3 - voxels
    assert found.largest == np.abs(errors).max()
    assert abs(errors[found.where]) == found.largest
    counts = found.histogram.counts
    assert counts.sum() == voxels.size
    assert len(counts) % 2 == 1
    assert len(counts) <= BINS
    middle = found.histogram.low + found.histogram.width * len(counts) / 2
    assert middle == 0
    # Turned round, the counts are, too: no integer lies on the edge of a bin.
    turned = difference_of(Channel(other, 1.0, 3.0), Channel(voxels, 1.0, 0.0), whole=True)
    assert turned.histogram.counts.tolist() == counts[::-1].tolist()
    beyond = np.mean(np.abs(errors) > found.usual)
    assert beyond <= 0.001
    assert found.usual <= found.largest


def test_equal_scans_do_not_differ() -> None:
    for voxels, whole in ((np.ones((4, 5), np.int16), True), (np.ones((4, 5), np.float32), False)):
        channel = Channel(voxels, 1.0, 0.0)
        found = difference_of(channel, channel, whole=whole)
        assert (found.largest, found.usual) == (0, 0)
        assert found.histogram.counts.sum() == 20


def test_values_that_are_not_finite_are_left_out() -> None:
    voxels = np.array([[np.nan, np.inf, -np.inf], [1.0, 2.0, 3.0]])
    channel = Channel(voxels, 1.0, 0.0)
    assert channel.range == (1, 3)
    assert histogram_of(channel, 1, 3, whole=False).counts.sum() == 3
    found = difference_of(channel, Channel(voxels + 1, 1.0, 0.0), whole=False)
    assert found.largest == 1
    nothing = Channel(np.full((3, 3), np.nan), 1.0, 0.0)
    assert nothing.range == (0, 0)
    assert nothing.usual_range == (0, 0)


def test_the_largest_floats_fit_the_page() -> None:
    largest = np.finfo(np.float64).max
    channel = Channel(np.array([[-largest, largest]]), 10.0, 0.0)
    assert channel.range == (-np.finfo(np.float32).max, np.finfo(np.float32).max)
    assert math.isfinite(Histogram.empty(*channel.range, whole=False).width)


@pytest.mark.parametrize(
    ("voxels", "slope", "intercept", "whole"),
    [
        (np.array([[0, 4095]], np.uint16), 1.0, -1024.0, True),
        (np.array([[0, 40000]], np.uint16), 1.0, 0.0, False),
        (np.array([[0, 40000]], np.uint16), 1.0, -20000.0, True),
        (np.array([[0, 1]], bool), 1.0, 0.0, True),
        (np.array([[0, 1]], np.int16), 0.5, 0.0, False),
        (np.array([[0, 1]], np.int16), 1.0, 0.5, False),
        (np.array([[0, 1]], np.float32), 1.0, 0.0, False),
    ],
)
def test_integers_of_16_bits_are_recognised(
    voxels: np.ndarray, slope: float, intercept: float, whole: bool
) -> None:
    assert Channel(voxels, slope, intercept).whole is whole


def test_windows_of_ct_by_unit_and_by_the_value_of_air() -> None:
    def names(low: float, unit: str | None) -> list[str]:
        return [window.name for window in windows_of((low, 3000), (low / 2, 900), unit)]

    ct = ["Soft tissue", "Lung", "Bone", "Brain", "Automatic", "Full range"]
    assert names(-1024, None) == ct
    assert names(0, "HU") == ct
    assert names(0, None) == ct[-2:]
    assert names(-1024, "Bq/ml") == ct[-2:]
    assert names(-30000, None) == ct[-2:]
    for window in windows_of((5, 5), (5, 5), None):
        assert window.low < window.high
