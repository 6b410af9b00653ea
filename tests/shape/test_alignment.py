"""Scans and templates on the canvas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from deepstd.geometry import base_map
from deepstd.shape.alignment import align, averaged, canvas_frame, normalised
from deepstd.shape.networks.frame import TensorFrame

BOXES = st.lists(st.tuples(st.integers(1, 17), st.integers(1, 5)), min_size=2, max_size=3)


@given(BOXES)
def test_boxes_are_averaged_as_torch_averages_them(sizes: list[tuple[int, int]]) -> None:
    shape, box = zip(*((n, min(n, b)) for n, b in sizes), strict=True)
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    pool = functional.avg_pool2d if len(shape) == 2 else functional.avg_pool3d
    expected = pool(torch.from_numpy(images), box, ceil_mode=True, count_include_pad=False)
    np.testing.assert_allclose(averaged(images, box), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 48), (36, 51, 40)])
def test_a_ramp_stays_a_ramp_on_the_canvas(shape: tuple[int, ...]) -> None:
    """Of twice the template's resolution, without its first rows: the mask leaves them out."""
    reach = np.full(len(shape), 128 * max(shape))
    frame = canvas_frame(shape, reach)
    scan_shape = tuple(2 * n for n in shape)
    scan = np.zeros(scan_shape, np.float32) + np.arange(scan_shape[1]).reshape(
        1, -1, *[1] * (len(shape) - 2)
    )
    scan[: scan_shape[0] // 2] = np.nan
    placement = base_map(scan_shape, None, shape, None)
    found = align(scan, placement, frame, frame.nodes()).reshape(2, *frame.canvas_shape)
    values, mask = found
    middle = frame.canvas_shape[0] // 2
    assert not mask[: middle - 1].any()
    inner = (slice(middle + 1, -1),) + (slice(1, -1),) * (len(shape) - 1)
    assert mask[inner].all()
    assert not values[mask == 0].any()
    ramp = 4 * np.arange(frame.canvas_shape[1])[1:-1] + 1.5
    columns = np.moveaxis(values[inner], 1, -1)
    np.testing.assert_allclose(columns, np.broadcast_to(ramp, columns.shape), rtol=1e-4)


def test_normalised_scans_have_mean_0_and_variance_1_within_the_mask() -> None:
    rng = np.random.default_rng(0)
    canvases = rng.normal(size=(3, 2, 9, 8)).astype(np.float32) * 50 + 20
    canvases[:, 1] = rng.random((3, 9, 8)) < 0.6
    canvases[2, 1] = 0
    found = normalised(canvases)
    for values, mask in found[:2]:
        assert values[mask == 1].mean() == pytest.approx(0, abs=1e-5)
        assert values[mask == 1].std() == pytest.approx(1, abs=1e-5)
    assert not found[:, 0][found[:, 1] == 0].any()


def test_tensors_have_the_same_frame() -> None:
    frame = canvas_frame((300, 200, 30), np.array([4000, 4000, 500]))
    tensors = TensorFrame(frame, "cpu")
    nodes = tensors.nodes()
    np.testing.assert_array_equal(nodes.numpy(), frame.nodes())
    index = np.stack(np.meshgrid(*map(np.arange, frame.canvas_shape), indexing="ij"), -1)
    np.testing.assert_allclose(tensors.to_canvas(nodes), index.reshape(-1, 3), atol=1e-4)
    t = index.reshape(-1, 3) * frame.factors + (np.array(frame.factors) - 1) / 2
    np.testing.assert_allclose(tensors.to_template(nodes), t, atol=1e-3)
