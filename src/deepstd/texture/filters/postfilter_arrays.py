"""The post-filter in array operations, for machines without the engine.

(*shape) ─ high-pass, clamp, fold ─▶ (*grid, channels) ─ convolutions ─ unfold ─▶ (*shape)
patches in blocks that fit the cache ─ one product of matrices ─▶ convolution
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from deepstd.engine.postfilter import Truth
from deepstd.texture.entropy.features import UNITS_PER_STEP

INPUT_LIMIT = 16.0
"""Largest magnitude of the inputs, in steps."""
LEAK = 0.1
"""Slope of the LeakyReLU below zero."""
# Values of a block of patches: 1 MB.
_BLOCK = 1 << 18


class Convolution(NamedTuple):
    """Weights (outputs, inputs, *kernel) and biases (outputs,), float32."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Convolve (*grid, inputs) with zeros around it to (*grid, outputs)."""
        weight, grid = self.weight, x.shape[:-1]
        outputs, inputs, *kernel = weight.shape
        taps = list(product(*(range(k) for k in kernel)))
        matrix = weight.reshape(outputs, inputs, -1).transpose(2, 1, 0).reshape(-1, outputs)
        padded = np.pad(x, [*((k // 2, k // 2) for k in kernel), (0, 0)])
        result = np.empty((*grid, outputs), np.float32)
        rows = max(1, _BLOCK // (len(matrix) * int(np.prod(grid[1:]))))
        for start in range(0, grid[0], rows):
            stop = min(start + rows, grid[0])
            patches = np.empty((stop - start, *grid[1:], len(taps), inputs), np.float32)
            for number, tap in enumerate(taps):
                spans = [slice(start + tap[0], stop + tap[0])]
                spans += [slice(t, t + n) for t, n in zip(tap[1:], grid[1:], strict=True)]
                patches[..., number, :] = padded[tuple(spans)]
            found = patches.reshape(-1, len(matrix)) @ matrix
            result[start:stop] = (found + self.bias).reshape(stop - start, *grid[1:], outputs)
        return result

    def back(self, gradient: np.ndarray) -> np.ndarray:
        """Take gradients by the outputs, (*grid, outputs), to gradients by the inputs."""
        flipped = np.flip(self.weight, tuple(range(2, self.weight.ndim))).swapaxes(0, 1)
        return Convolution(flipped, np.zeros(len(flipped), np.float32))(gradient)


def restored(
    layers: Sequence[Convolution], low: np.ndarray, template: np.ndarray | None, bias: np.ndarray
) -> np.ndarray:
    """Return the restored values of a window in steps, (*shape) float32.

    Args:
        layers: entry, first and second convolution of every block, exit.
        low: reconstruction in 1/64 step, (*shape).
        template: predicted values in 1/64 step, (*shape), or None.
        bias: biases of the entry with the share of the condition, (width,).
    """
    inputs = _inputs(low, template, whole=True)
    return _forward(layers, low, inputs, bias).restored.astype(np.float32)


def gradient(
    layers: Sequence[Convolution],
    low: np.ndarray,
    template: np.ndarray | None,
    bias: np.ndarray,
    truth: Truth,
) -> tuple[float, np.ndarray]:
    """Return the squared error of a region of a window, and its gradient by the reconstruction.

    Args:
        layers: entry, first and second convolution of every block, exit.
        low: reconstruction in 1/64 step, (*shape).
        template: predicted values in 1/64 step, (*shape), or None.
        bias: biases of the entry with the share of the condition, (width,).
        truth: true values, and the region.

    Returns:
        Sum in squared steps, and its gradient by the reconstruction in steps, (*shape) float32.
    """
    inputs = _inputs(low, template, whole=False)
    entry, *inner, last = layers
    run = _forward(layers, low, inputs, bias)
    error = np.zeros(low.shape)
    error[truth.inner] = run.restored[truth.inner] - truth.values[truth.inner]
    slope = last.back(_folded([(2 * error).astype(np.float32)]))
    for index in range(len(run.hidden) - 1, -1, -1):
        first, second = inner[2 * index], inner[2 * index + 1]
        slope = slope + first.back(_through(second.back(slope), run.hidden[index]))
    by_input = _unfolded(entry.back(_through(slope, run.entered)), low.shape, len(inputs))
    passed = [g * (np.abs(x) <= INPUT_LIMIT) for g, x in zip(by_input, inputs, strict=True)]
    found = 2 * error + passed[0] - _mean(passed[0])
    for by_template in passed[1:]:
        found -= by_template
    return float(np.square(error).sum()), found.astype(np.float32)


class _Run(NamedTuple):
    """Activations, (*grid, width), and restored values in steps, (*shape)."""

    entered: np.ndarray
    hidden: list[np.ndarray]
    restored: np.ndarray


def _forward(
    layers: Sequence[Convolution], low: np.ndarray, inputs: Sequence[np.ndarray], bias: np.ndarray
) -> _Run:
    entry, *inner, last = layers
    bounded = [x.clip(-INPUT_LIMIT, INPUT_LIMIT).astype(np.float32) for x in inputs]
    entered = x = _leaky(Convolution(entry.weight, bias)(_folded(bounded)))
    hidden = []
    for first, second in zip(inner[::2], inner[1::2], strict=True):
        hidden.append(_leaky(first(x)))
        x = x + second(hidden[-1])
    (change,) = _unfolded(last(x), low.shape, 1)
    return _Run(entered, hidden, low * (1.0 / UNITS_PER_STEP) + change)


def _inputs(low: np.ndarray, template: np.ndarray | None, *, whole: bool) -> list[np.ndarray]:
    """Return the inputs before they are clamped, in steps; means are rounded down if ``whole``."""
    low = low.astype(np.float64)
    mean = _mean(low)
    inputs = [low - (np.floor(mean) if whole else mean)]
    if template is not None:
        inputs.append(template - low)
    return [x * (1.0 / UNITS_PER_STEP) for x in inputs]


def _mean(x: np.ndarray) -> np.ndarray:
    """Return the binomial 1-2-1 mean along every axis, with repeated edges; its own adjoint."""
    for axis in range(x.ndim):
        padded = np.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)], "edge")
        moved = np.moveaxis(padded, axis, 0)
        x = np.moveaxis((moved[:-2] + moved[2:] + 2 * moved[1:-1]) * 0.25, 0, axis)
    return x


def _leaky(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, x * np.float32(LEAK))


def _through(gradient: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """Take a gradient back through the LeakyReLU that gave an activation."""
    return np.where(activation > 0, gradient, gradient * np.float32(LEAK))


def _folded(channels: Sequence[np.ndarray]) -> np.ndarray:
    """Fold voxels into channels: (*shape) each to (*grid, channels * 2**ndim), zeros beside odd."""
    ndim = channels[0].ndim
    x = np.stack(channels)
    x = np.pad(x, [(0, 0), *((0, n % 2) for n in x.shape[1:])])
    split = x.reshape(len(x), *(part for n in x.shape[1:] for part in (n // 2, 2)))
    order = [*(1 + 2 * a for a in range(ndim)), 0, *(2 + 2 * a for a in range(ndim))]
    folded = split.transpose(order)
    return folded.reshape(*folded.shape[:ndim], -1)


def _unfolded(x: np.ndarray, shape: Sequence[int], channels: int) -> list[np.ndarray]:
    """Unfold (*grid, channels * 2**ndim) to channels of (*shape)."""
    ndim = len(shape)
    split = x.reshape(*x.shape[:-1], channels, *[2] * ndim)
    order = [ndim, *(place for a in range(ndim) for place in (a, ndim + 1 + a))]
    full = split.transpose(order).reshape(channels, *(2 * n for n in x.shape[:-1]))
    return list(full[(slice(None), *(slice(0, n) for n in shape))])
