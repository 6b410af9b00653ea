"""Directions in which the heads of a population differ, as the symbols of a file.

    heads of training scans, features, gradient of the template
      ─▶ metric: how much a change of head changes the warped template
      ─▶ Karhunen-Loève transform in that metric ─▶ modes, one quantisation step long, and scales

In this metric a step along any mode changes the prediction of the scan by the same mean square,
so one step serves all of them, and modes that hardly differ between scans cost nothing.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from deepstd.shape.alignment import Frame
from deepstd.shape.model import HEAD_BITS

QUANTISATION_STEP = 0.01
_MAX_MODES = 96
_SMALLEST = 0.4
_SMOOTHNESS = 0.05


def find_modes(
    features: Tensor, heads: Tensor, template: Tensor, frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Modes and their scales.

    Args:
        features: (N, W+1) of the backward field at the canvas voxels.
        heads: (B, W+1, ndim) backward heads of training scans.
        template: (1, 1, *canvas) with variance about 1.
        frame: of the canvas.

    Returns:
        int32 (K, (W+1)·ndim) in 2**-20 per symbol, and uint8 (K,) scale indices; K is 64 or
        fewer where there are fewer parameters, and symbols of no use have the smallest scale.
    """
    features, heads = features.double().cpu(), heads.double().cpu()
    batch, rows, ndim = heads.shape
    metric = _metric(features, template.double().cpu(), frame)
    root = torch.linalg.cholesky(metric)
    centred = (heads - heads.mean(0)).reshape(batch, rows * ndim)
    size, axes = torch.linalg.eigh((centred @ root).T @ (centred @ root) / batch)
    order = size.argsort(descending=True)[:_MAX_MODES]
    spread = size[order].clamp_min(0).sqrt() / QUANTISATION_STEP
    modes = torch.linalg.solve_triangular(root, axes[:, order].T, upper=False, left=False)
    modes = modes * QUANTISATION_STEP
    modes[spread < _SMALLEST] = 0
    scales = scale_indices(spread.numpy())
    return np.rint(modes.numpy() * (1 << HEAD_BITS)).astype(np.int32), scales


def scale_indices(spread: np.ndarray) -> np.ndarray:
    """uint8 index of the logistic table for symbols of a standard deviation."""
    scale = np.maximum(spread, 0.05) * (math.sqrt(3) / math.pi)
    return np.rint(20 + 4 * np.log2(scale)).clip(0, 63).astype(np.uint8)


def _gradient(image: np.ndarray, axis: int) -> np.ndarray:
    return np.gradient(image, axis=axis) if image.shape[axis] > 1 else np.zeros_like(image)


def _metric(features: Tensor, template: Tensor, frame: Frame) -> Tensor:
    """Mean square change of the warped template by a change of head, (P, P)."""
    image = template[0, 0]
    slopes = np.stack([_gradient(image.numpy(), axis) for axis in range(image.ndim)], -1)
    slopes = torch.from_numpy(slopes).reshape(-1, image.ndim) * frame.canvas_reach.double().cpu()
    change = (features[:, :, None] * slopes[:, None, :]).flatten(1)
    count = len(features)
    metric = change.T @ change / count
    gram = features.T @ features / count
    smooth = torch.kron(gram, torch.eye(image.ndim, dtype=gram.dtype))
    typical = (slopes**2).mean()
    metric = metric + _SMOOTHNESS * typical * smooth
    return metric + 1e-6 * typical * torch.eye(len(metric), dtype=metric.dtype)
