"""Principal modes of the heads of a population, which the symbols of a file multiply.

    heads of training scans, features, gradient of the template
      ─▶ metric: change of the warped template by a change of head
      ─▶ Karhunen-Loève transform in that metric ─▶ modes, one quantisation step long, and scales

In this metric a step along any mode changes the prediction of the scan by the same mean square. So
one quantisation step serves all modes, and modes of little variance cost nothing.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from deepstd.shape.alignment import Frame
from deepstd.shape.model import HEAD_BITS

QUANTISATION_STEP = 0.01  # change of the prediction by a symbol, in its standard deviations
_MAX_MODES = 96
_SMALLEST = 0.4  # standard deviation in steps below which a mode is zeroed
_SMOOTHNESS = 0.05  # weight of the displacement itself in the metric


def find_modes(
    features: Tensor, heads: Tensor, template: Tensor, frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Find the modes of the heads and the scales of their symbols.

    Args:
        features: (N, W+1), features of the backward field at the canvas voxels.
        heads: (B, W+1, ndim), backward heads of training scans.
        template: (1, 1, *canvas), grey values of variance about 1.
        frame: frame of the canvas.

    Returns:
        Modes, int32 (K, (W+1)·ndim) in 2**-20 for a symbol, and scale indices, uint8 (K,). K is at
        most 96; unused modes are 0 with the smallest scale.
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
    """Return the scale index, uint8, of logistic symbols with a standard deviation."""
    scale = np.maximum(spread, 0.05) * (math.sqrt(3) / math.pi)
    return np.rint(20 + 4 * np.log2(scale)).clip(0, 63).astype(np.uint8)


def _gradient(image: np.ndarray, axis: int) -> np.ndarray:
    return np.gradient(image, axis=axis) if image.shape[axis] > 1 else np.zeros_like(image)


def _metric(features: Tensor, template: Tensor, frame: Frame) -> Tensor:
    """Return the metric of heads, (P, P): mean square change of the warped template."""
    image = template[0, 0]
    slopes = np.stack([_gradient(image.numpy(), axis) for axis in range(image.ndim)], -1)
    slopes = torch.from_numpy(slopes * frame.canvas_reach.astype(np.float64))
    slopes = slopes.reshape(-1, image.ndim)
    change = (features[:, :, None] * slopes[:, None, :]).flatten(1)
    count = len(features)
    metric = change.T @ change / count
    gram = features.T @ features / count
    smooth = torch.kron(gram, torch.eye(image.ndim, dtype=gram.dtype))
    typical = (slopes**2).mean()
    metric = metric + _SMOOTHNESS * typical * smooth
    return metric + 1e-6 * typical * torch.eye(len(metric), dtype=metric.dtype)
