"""A `LevelContext` packed for the native engine, which computes the same integers.

finished layers ─ integer weights ─ packed ─▶ ModelRecord
condition ─ two 1 x 1 layers ─▶ what is added to every position of a level
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from deepstd.engine.convolution import Layer, records
from deepstd.engine.library import engine
from deepstd.engine.tiles import ModelRecord
from deepstd.texture.networks.context import LevelContext
from deepstd.texture.networks.integer import OUTPUT_MAX, ExactConv


@dataclass(frozen=True)
class _Condition:
    """A 1 x 1 layer on the condition vector: weights (width, conditions), biases, shift."""

    weight: np.ndarray
    bias: np.ndarray
    shift: int

    def __call__(self, condition: np.ndarray) -> np.ndarray:
        """Return (width,) int32 of a condition vector, (conditions,) whole numbers."""
        total = self.weight @ condition + self.bias + ((1 << self.shift) >> 1)
        return np.clip(total >> self.shift, -OUTPUT_MAX, OUTPUT_MAX).astype(np.int32)


class NativeContext:
    """The engine's version of one `LevelContext`.

    Args:
        library: the engine.
        model: whose layers are all finished.

    Attributes:
        library: the engine.
        record: what the engine reads.
        bands: high subbands that the model predicts.
        has_template: whether template features are among the inputs.
    """

    def __init__(self, library: Any, model: LevelContext) -> None:
        self.library, self.has_template = library, model.has_template
        self._conditions = [
            _Condition(weight.reshape(len(weight), -1).astype(np.int64), bias, shift)
            for weight, bias, shift in map(
                _integers, (model.first_condition, model.second_condition)
            )
        ]
        trunk = [model.first, model.second, model.third, model.fourth]
        groups = trunk, list(model.known), list(model.mix), list(model.head)
        # Kept, because the records point to the arrays of the layers.
        self._layers = [[Layer.packed(*_integers(conv)) for conv in group] for group in groups]
        self._records = [records(layers) for layers in self._layers]
        passes, outputs = len(model.head), self._layers[3][0].outputs
        self.bands = outputs // (3 if self.has_template else 2)
        self.record = ModelRecord(
            *map(ctypes.addressof, self._records),
            *(passes, self.bands, self._layers[0][0].outputs, self.has_template),
        )

    def told(self, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what a condition vector adds after the first and second layer, (width,) int32."""
        whole = condition.reshape(-1).astype(np.int64)
        first, second = (layer(whole) for layer in self._conditions)
        return first, second


_contexts: WeakKeyDictionary[LevelContext, NativeContext] = WeakKeyDictionary()


def native_context(model: LevelContext) -> NativeContext | None:
    """Return the engine's version of a finished model on a CPU; None where there is none."""
    library = engine()
    weight = model.first.weight
    if library is None or weight.requires_grad or weight.device.type != "cpu":
        return None
    if model not in _contexts:
        layers = [m for m in model.modules() if isinstance(m, ExactConv)]
        if any(layer.frozen_shift is None for layer in layers):
            return None
        _contexts[model] = NativeContext(library, model)
    return _contexts[model]


def _integers(conv: nn.Module) -> tuple[np.ndarray, np.ndarray, int]:
    """Return weights, biases and shift of a finished `ExactConv`."""
    if not isinstance(conv, ExactConv):
        raise TypeError("a context model is made of exact convolutions only")
    stored = conv.to_integers()
    return stored["weight"].numpy(), stored["bias"].numpy(), int(stored["shift"])


def contiguous(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> list[np.ndarray]:
    """Return tensors as arrays that the engine can read."""
    return [tensor.to(dtype).contiguous().numpy() for tensor in tensors]
