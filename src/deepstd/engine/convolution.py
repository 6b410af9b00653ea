"""Weights of exact convolutions, packed for the engine.

weights (outputs, inputs, *kernel), biases ─ Layer: pairs of input channels side by side
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.engine.library import address, aligned

LANES = 16
"""Outputs that the engine computes at once."""


class LayerRecord(ctypes.Structure):
    """A layer as the engine reads it (``struct layer``)."""

    _fields_ = [
        *[(n, ctypes.c_void_p) for n in ("weights", "bias", "extra", "taps")],
        *[(n, ctypes.c_int32) for n in ("tap_count", "pairs", "outputs", "shift", "low", "high")],
    ]


@dataclass(frozen=True)
class Layer:
    """An exact convolution.

    Attributes:
        weights: (taps, pairs, blocks * 16, 2) int16.
        bias: (blocks * 16,) int32, with half a unit of the shift for rounding.
        outputs, shift: channels made, and fractional bits of the weights.
    """

    weights: np.ndarray
    bias: np.ndarray
    outputs: int
    shift: int

    @staticmethod
    def packed(weight: np.ndarray, bias: np.ndarray, shift: int) -> Layer:
        """Pack integer weights (outputs, inputs, *kernel) and biases (outputs,)."""
        outputs, inputs = weight.shape[:2]
        taps = int(np.prod(weight.shape[2:]))
        blocks, pairs = -(-outputs // LANES), (inputs + 1) // 2
        arranged = np.zeros((taps, 2 * pairs, blocks * LANES), np.int16)
        arranged[:, :inputs, :outputs] = weight.reshape(outputs, inputs, taps).transpose(2, 1, 0)
        arranged = arranged.reshape(taps, pairs, 2, blocks * LANES).swapaxes(2, 3)
        full = np.zeros(blocks * LANES, np.int32)
        full[:outputs] = bias + ((1 << shift) >> 1)
        return Layer(aligned(arranged), full, outputs, shift)

    def record(self) -> LayerRecord:
        """Return what the engine reads; valid while this layer lives."""
        taps, pairs = self.weights.shape[:2]
        arrays = address(self.weights), address(self.bias), None, None
        return LayerRecord(*arrays, taps, pairs, self.outputs, self.shift, 0, 0)


def records(layers: Sequence[Layer]) -> ctypes.Array[LayerRecord]:
    """Return the records of several layers, one after the other."""
    return (LayerRecord * max(1, len(layers)))(*(layer.record() for layer in layers))
