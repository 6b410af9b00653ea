"""Dice and HD95 against MONAI, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepstd.errors import InputError
from deepstd.evaluate import dice, hd95, labels_of


def blobs(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3) > 0.02


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's, of its own arguments
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((30, 26, 18), (0.7, 0.7, 3.0)), ((24, 25, 20), (1.0, 1.0, 1.0)), ((40, 44), (0.5, 2.0))],
)
def test_equal_to_monai(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    pytest.importorskip("monai", reason="needs MONAI: pip install 'deepstd[evaluate]'")
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.meandice import compute_dice

    one, other = blobs(shape, 1), blobs(shape, 2)
    a, b = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (one, other))
    expected = compute_hausdorff_distance(
        a, b, include_background=True, percentile=95, spacing=list(spacing)
    )
    assert hd95(one, other, spacing) == pytest.approx(float(expected), rel=1e-5)
    assert dice(one, other) == pytest.approx(float(compute_dice(a, b)), rel=1e-6)


def test_shifted_box_by_hand() -> None:
    one, other = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    one[5:10, 5:10, 5:10], other[5:10, 5:10, 7:12] = True, True
    assert dice(one, other) == pytest.approx(2 * 75 / 250)
    assert hd95(one, other, (1, 1, 2.5)) == pytest.approx(5.0)
    assert hd95(one, one, (1, 1, 2.5)) == 0


def test_empty_masks() -> None:
    none, some = np.zeros((5, 5), bool), np.eye(5, dtype=bool)
    assert math.isnan(dice(none, none))
    assert math.isnan(hd95(none, none, (1, 1)))
    assert dice(none, some) == 0
    assert hd95(none, some, (1, 1)) == math.inf


def test_labels_of_both_maps() -> None:
    assert labels_of(np.array([0, 3, 1]), np.array([0, 7])) == [1, 3, 7]


def test_useless_requests_are_refused() -> None:
    with pytest.raises(InputError, match="shapes"):
        dice(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="voxel size for each of 2 axes"):
        hd95(np.ones((2, 2)), np.ones((2, 2)), (1, 1, 1))
