"""A `LevelContext` packed for the native engine, which computes the same integers.

layers ─ integer weights ─ packed ─▶ ModelRecord
condition ─ two 1 x 1 layers ─▶ what is added to every position of a level
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from deepstd.engine.convolution import Layer, records
from deepstd.engine.library import engine
from deepstd.engine.tiles import ModelRecord
from deepstd.texture.entropy.context import LevelContext, Predictor
from deepstd.texture.entropy.integer import OUTPUT_MAX, WholeConv

_CONDITIONS = 64


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
        model: the context model.

    Attributes:
        library: the engine.
        record: what the engine reads.
        bands: high subbands that the model predicts.
        has_template: whether template features are among the inputs.
    """

    def __init__(self, library: Any, model: LevelContext) -> None:
        self.library, self.has_template = library, model.has_template
        # Scans of a batch, and encodings at one step, have one condition.
        self._told = lru_cache(maxsize=_CONDITIONS)(self._computed)
        layers, passes = model.layers, model.passes
        self._conditions = [
            _Condition(
                conv.weight.reshape(len(conv.weight), -1).astype(np.int64), conv.bias, conv.shift
            )
            for conv in (layers["first_condition"], layers["second_condition"])
        ]
        groups = (
            [layers[name] for name in ("first", "second", "third", "fourth")],
            [layers[f"known.{number}"] for number in range(passes - 1)],
            [layers[f"mix.{number}"] for number in range(passes)],
            [layers[f"head.{number}"] for number in range(passes)],
        )
        # Kept, because the records point to the arrays of the layers.
        self._layers = [[_packed(conv) for conv in group] for group in groups]
        self._records = [records(layers) for layers in self._layers]
        outputs = self._layers[3][0].outputs
        self.bands = outputs // (3 if self.has_template else 2)
        self.record = ModelRecord(
            *map(ctypes.addressof, self._records),
            *(passes, self.bands, self._layers[0][0].outputs, self.has_template),
        )

    def told(self, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what a condition vector adds after the first and second layer, (width,) int32."""
        return self._told(condition.reshape(-1).astype(np.int64).tobytes())

    def _computed(self, condition: bytes) -> tuple[np.ndarray, np.ndarray]:
        whole = np.frombuffer(condition, np.int64)
        first, second = (layer(whole) for layer in self._conditions)
        return first, second


_contexts: WeakKeyDictionary[LevelContext, NativeContext] = WeakKeyDictionary()


def native_context(model: Predictor) -> NativeContext | None:
    """Return the engine's version of a context model; None on GPUs and without the engine."""
    library = engine()
    if library is None or not isinstance(model, LevelContext):
        return None
    if model not in _contexts:
        _contexts[model] = NativeContext(library, model)
    return _contexts[model]


def _packed(conv: WholeConv) -> Layer:
    return Layer.packed(conv.weight, conv.bias, conv.shift)


def contiguous(arrays: Sequence[np.ndarray], dtype: type[np.generic]) -> list[np.ndarray]:
    """Return arrays of a type as the engine can read them."""
    return [np.ascontiguousarray(array, dtype) for array in arrays]
