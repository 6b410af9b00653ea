"""Layers and windows of the post-filter, as the engine reads them (csrc/postfilter.c).

weights (outputs, inputs, *kernel), biases ─ FloatLayer: outputs in blocks of 16 ─┐
window of a scan ─────────────────────────────────────────────────────────────────┴▶ `run`
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.engine.convolution import LANES
from deepstd.engine.library import address, aligned, engine

_INT, _LONG, _POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
_AXES = _LONG * 3
# Coefficients of three weights along an axis at the points 0, ±1, ±2 and infinity.
_PATCH = np.array(
    [
        *([1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6]),
        *([1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]),
    ]
)


class FloatLayerRecord(ctypes.Structure):
    """A layer (``struct float_layer``)."""

    _fields_ = [
        *[(name, _POINTER) for name in ("weights", "bias")],
        *[(name, _INT) for name in ("tap_count", "inputs", "blocks")],
    ]


class FilterRecord(ctypes.Structure):
    """Layers of a post-filter (``struct postfilter``)."""

    _fields_ = [
        *[(name, _POINTER) for name in ("layers", "transposed")],
        *[(n, _INT) for n in ("ndim", "blocks", "has_template", "threads")],
    ]


class WindowRecord(ctypes.Structure):
    """Values of a window (``struct window``)."""

    _fields_ = [
        ("shape", _AXES),
        *[(name, _POINTER) for name in ("low", "template", "restored", "truth")],
        *[("begin", _AXES), ("end", _AXES)],
        *[("gradient", _POINTER), ("error", ctypes.c_double)],
    ]


@dataclass(frozen=True)
class FloatLayer:
    """A convolution in floating point.

    Attributes:
        weights: (taps, inputs, blocks * 16) float32; or (36, planes * inputs, blocks * 16), the
            weights of the coefficients of a patch.
        bias: (blocks * 16,) float32.
    """

    weights: np.ndarray
    bias: np.ndarray

    @staticmethod
    def packed(weight: np.ndarray, bias: np.ndarray) -> FloatLayer:
        """Pack weights (outputs, inputs, *kernel) and biases (outputs,)."""
        taps = weight.reshape(*weight.shape[:2], -1).transpose(2, 1, 0)
        return FloatLayer(aligned(_in_lanes(taps)), _in_lanes(bias))

    @staticmethod
    def by_coefficients(weight: np.ndarray, bias: np.ndarray) -> FloatLayer:
        """Pack weights (outputs, inputs, …, 3, 3) for tiles of the last two axes (csrc/winograd.c).

        Inputs of three planes follow each other.
        """
        kernel = weight.astype(np.float64).reshape(*weight.shape[:2], -1, 3, 3)
        found = np.einsum("ia,jb,oczab->ijzco", _PATCH, _PATCH, kernel)
        outputs = weight.shape[0]
        arranged = found.reshape(_PATCH.shape[0] ** 2, -1, outputs)
        return FloatLayer(aligned(_in_lanes(arranged)), _in_lanes(bias))

    def record(self) -> FloatLayerRecord:
        """Return what the engine reads; valid while this layer lives."""
        taps, inputs, lanes = self.weights.shape
        return FloatLayerRecord(
            address(self.weights), address(self.bias), taps, inputs, lanes // LANES
        )


@dataclass(frozen=True)
class Truth:
    """True values of a window, and the region whose errors count.

    Attributes:
        values: in steps, (*shape) float32.
        inner: the region.
    """

    values: np.ndarray
    inner: tuple[slice, ...]


@dataclass(frozen=True)
class FilterLayers:
    """Layers of a post-filter on the engine: entry, first and second of every block, exit.

    Attributes:
        ndim: 2 or 3 spatial axes.
        template: whether the prediction is an input.
        layers: the layers.
        transposed: the layers from outputs back to inputs, in the same order.
    """

    ndim: int
    template: bool
    layers: tuple[FloatLayer, ...]
    transposed: tuple[FloatLayer, ...]

    @staticmethod
    def packed(
        ndim: int, template: bool, weights: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> FilterLayers:
        """Pack the weights (outputs, inputs, *kernel) and biases (outputs,) of all layers."""
        entry, *inner, last = weights
        # The entry has too few inputs, and the exit one tap, for coefficients of patches to pay.
        layers = [FloatLayer.by_coefficients(*layer) for layer in inner]
        back = [
            FloatLayer.by_coefficients(transposed(weight), np.zeros(weight.shape[1]))
            for weight, _ in (entry, *inner)
        ]
        exits = FloatLayer.packed(*last)
        from_exits = FloatLayer.packed(transposed(last[0]), np.zeros(last[0].shape[1]))
        entries = FloatLayer.packed(*entry)
        return FilterLayers(ndim, template, (entries, *layers, exits), (*back, from_exits))

    def run(
        self,
        low: np.ndarray,
        template: np.ndarray | None,
        bias: np.ndarray,
        threads: int,
        truth: Truth | None = None,
    ) -> tuple[float, np.ndarray]:
        """Filter a window, or take the gradient of its squared error where the truth is given.

        Args:
            low: reconstruction in 1/64 step, (*shape).
            template: predicted values in 1/64 step, (*shape); None where the filter needs none.
            bias: biases of the entry with the share of the condition, (width,).
            threads: threads to use.
            truth: true values and region of a gradient, or None.

        Returns:
            0 and the restored values in steps, (*shape) float32; or the squared error and its
            gradient by the reconstruction in steps.

        Raises:
            ValueError: the arrays are of different shapes, or of other axes than the filter.
        """
        truths = None if truth is None else truth.values
        for array in (template, truths):
            if array is not None and array.shape != low.shape:
                raise ValueError(f"shapes {array.shape} and {low.shape} differ")
        if low.ndim != self.ndim or (self.template and template is None):
            raise ValueError(f"the filter does not fit a window of shape {low.shape}")
        entry, *others = self.layers
        full = np.zeros_like(entry.bias)
        full[: len(bias)] = bias
        layers = _records([FloatLayer(entry.weights, full), *others])
        transposed = _records(self.transposed)
        described = FilterRecord(
            *(ctypes.addressof(layers), ctypes.addressof(transposed)),
            *(self.ndim, len(others) // 2, int(self.template), threads),
        )
        values = np.ascontiguousarray(low, np.float64)
        predicted = None if template is None else np.ascontiguousarray(template, np.float64)
        found = np.empty(low.shape, np.float32)
        window = WindowRecord(
            shape=_three(low.shape, 1),
            low=address(values),
            template=None if predicted is None else address(predicted),
        )
        if truth is None:
            window.restored = address(found)
        else:
            true = np.ascontiguousarray(truth.values, np.float32)
            window.truth, window.gradient = address(true), address(found)
            window.begin = _three([span.start for span in truth.inner], 0)
            window.end = _three([span.stop for span in truth.inner], 1)
        library = engine()
        if library is None:
            raise RuntimeError("the native engine is not loaded")
        if library.postfilter_run(ctypes.byref(described), ctypes.byref(window)):
            raise MemoryError
        return float(window.error), found


def transposed(weight: np.ndarray) -> np.ndarray:
    """Return the weights from gradients by the outputs to gradients by the inputs."""
    return np.flip(weight, tuple(range(2, weight.ndim))).swapaxes(0, 1)


def _in_lanes(values: np.ndarray) -> np.ndarray:
    """Return (…, outputs) as float32 with zeros up to a multiple of 16 outputs."""
    outputs = values.shape[-1]
    full = np.zeros((*values.shape[:-1], -(-outputs // LANES) * LANES), np.float32)
    full[..., :outputs] = values
    return full


def _records(layers: Sequence[FloatLayer]) -> ctypes.Array[FloatLayerRecord]:
    return (FloatLayerRecord * len(layers))(*(layer.record() for layer in layers))


def _three(values: Sequence[int], missing: int) -> ctypes.Array[ctypes.c_int64]:
    """Return three numbers; an image has no first axis."""
    return _AXES(*[missing] * (3 - len(values)), *values)
