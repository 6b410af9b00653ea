"""A `LevelContext` on the native engine: the same integers, only where they are needed.

    features ─ padded int16 grid ─ four convolutions, fused with condition, residual, clamp ─▶ hidden
    hidden, known ─ positions of one pass ─ known ─ mix ─ head ─▶ Prediction

Each pass is computed at its own positions alone: half of a 3-D tile, a quarter of a 2-D one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from deepstd.coding.tables import SCALE_COUNT
from deepstd.engine.convolution import Layer, Rows, convolve, empty_grid, tap_offsets
from deepstd.engine.library import engine
from deepstd.texture.context import CENTRE_INDEX, GATE_ONE, LevelContext, Prediction
from deepstd.texture.integer import HIDDEN_MAX, OUTPUT_MAX, ExactConv
from deepstd.texture.tiling import Sides

_RELU = (0, HIDDEN_MAX)
_SIGNED = (-OUTPUT_MAX, OUTPUT_MAX)
_packed: WeakKeyDictionary[LevelContext, "NativeContext"] = WeakKeyDictionary()


def native_context(model: LevelContext) -> NativeContext | None:
    """Return the engine's version of a finished model on a CPU; None where there is none."""
    library = engine()
    layers = [m for m in model.modules() if isinstance(m, ExactConv)]
    weight = model.first.weight
    finished = all(layer.frozen_shift is not None for layer in layers)
    if library is None or not finished or weight.requires_grad or weight.device.type != "cpu":
        return None
    if model not in _packed:
        _packed[model] = NativeContext(library, model)
    return _packed[model]


@dataclass(frozen=True)
class _Positions:
    """Positions of one pass of a tile, row by row.

    Attributes:
        flat: (n,) int64, index of each in the flattened grid.
        rows, starts, counts: of each row that has any: its number, first column and positions.
        stride: columns between positions.
    """

    flat: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    stride: int = 2


@lru_cache(maxsize=32)
def _positions(grid: tuple[int, ...], index: int) -> _Positions:
    """Return the positions of pass ``index``, as `context.pass_of_position` has them."""
    outer = np.stack(np.meshgrid(*map(np.arange, grid[:-1]), indexing="ij"), -1)
    outer = outer.reshape(-1, len(grid) - 1)
    parity = outer.sum(1) % 2
    if len(grid) == 3:
        starts, used = (index + parity) % 2, np.ones(len(outer), bool)
    elif index < 2:
        starts, used = parity, parity == index
    else:
        starts, used = 1 - parity, np.ones(len(outer), bool)
    counts = np.maximum(0, -(-(grid[-1] - starts) // 2))
    rows = np.flatnonzero(used & (counts > 0))
    starts, counts = starts[rows], counts[rows]
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    flat = np.repeat(rows * grid[-1] + starts, counts) + 2 * offsets
    return _Positions(flat, rows, starts, np.ascontiguousarray(counts, np.int32))


class NativeContext:
    """The engine's version of a `LevelContext`; stands in for it in `levels.code_passes`.

    Args:
        library: the engine.
        model: whose layers are all finished.
    """

    def __init__(self, library: Any, model: LevelContext) -> None:
        self._library = library
        self.first, self._template = model.first, model.has_template
        self._conditions = model.first_condition, model.second_condition
        self._layers = [_layer(m) for m in (model.first, model.second, model.third, model.fourth)]
        self._known, self._mix, self.head = (
            [_layer(m) for m in modules] for modules in (model.known, model.mix, model.head)
        )
        self._width = self._layers[0].outputs

    def hidden(
        self, features: torch.Tensor, condition: torch.Tensor, borders: Sides | None = None
    ) -> torch.Tensor:
        """Return hidden activations as int16; see `LevelContext.hidden`."""
        sides = borders or ((True, True),) * (features.ndim - 2)
        extras = [
            layer(condition).flatten(1).numpy().astype(np.int32) for layer in self._conditions
        ]
        values = features.movedim(1, -1).numpy()
        first, second = (np.broadcast_to(e, (len(values), self._width)) for e in extras)
        return torch.stack(
            [self._hidden(*scan, sides) for scan in zip(values, first, second, strict=True)]
        )

    def _hidden(
        self, features: np.ndarray, first: np.ndarray, second: np.ndarray, sides: Sides
    ) -> torch.Tensor:
        grid = features.shape[:-1]
        source = _padded(features, self._layers[0].channels, sides)
        x1 = self._layer(0, source, sides, first)
        x2 = self._layer(1, x1, sides, second, residual=x1, margin=1)
        x3 = self._layer(2, x2, sides)
        x4 = self._layer(3, x3, sides, residual=x2, margin=2, last=True)
        inner = tuple(
            n - 4 * (not begins) - 4 * (not ends)
            for n, (begins, ends) in zip(grid, sides, strict=True)
        )
        return torch.from_numpy(x4.reshape(*inner, self._width)).movedim(-1, 0)

    def _layer(
        self,
        number: int,
        source: np.ndarray,
        sides: Sides,
        extra: np.ndarray | None = None,
        residual: np.ndarray | None = None,
        margin: int = 0,
        last: bool = False,
    ) -> np.ndarray:
        """Return a padded grid of what a 3 x 3 (x 3) layer makes of a padded grid."""
        layer = self._layers[number]
        made = tuple(n - 2 for n in source.shape[:-1])
        before = [0 if last else int(begins) for begins, _ in sides]
        after = [0 if last else int(ends) for _, ends in sides]
        padded = tuple(b + n + a for b, n, a in zip(before, made, after, strict=True))
        target = empty_grid(padded, self._width)
        added = None
        if residual is not None:
            # The residual's grid is padded on borders; elsewhere it is larger by the margin.
            shift = [int(begins) + margin * (not begins) for begins, _ in sides]
            added = _rows(residual, made, shift)
        convolve(
            self._library,
            layer,
            _rows(source, made, [0] * len(made)),
            tap_offsets(layer.kernel, source.shape[:-1], source.shape[-1]),
            np.full(int(np.prod(made[:-1])), made[-1], np.int32),
            _rows(target, made, before),
            extra=extra,
            residual=added,
            limits=_RELU,
            threads=torch.get_num_threads(),
        )
        return target

    def predict(self, index: int, hidden: torch.Tensor, known: torch.Tensor) -> Prediction:
        """Return the distribution at the positions of pass ``index``; zeros elsewhere."""
        parts = [self._predict(index, *pair) for pair in zip(hidden, known, strict=True)]
        mean, scale, *gate = (torch.stack(part) for part in zip(*parts, strict=True))
        return Prediction(mean, scale, gate[0] if gate else None)

    def _predict(
        self, index: int, hidden: torch.Tensor, known: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        grid = tuple(hidden.shape[1:])
        where = _positions(grid, index)
        activations = hidden.movedim(0, -1).contiguous().numpy()
        packed = np.cumsum(where.counts, dtype=np.int64) - where.counts
        inside = _pass_rows(activations, grid, where)
        x = empty_grid((len(where.flat),), self._width)
        if index:
            layer = self._known[index - 1]
            values = known.movedim(0, -1).numpy()
            source = _padded(values, layer.channels, ((True, True),) * len(grid))
            convolve(
                self._library,
                layer,
                _pass_rows(source, grid, where),
                tap_offsets(layer.kernel, source.shape[:-1], source.shape[-1]),
                where.counts,
                Rows(x, packed * self._width, self._width),
                residual=inside,
                limits=_RELU,
                threads=torch.get_num_threads(),
            )
        else:
            np.take(activations.reshape(-1, self._width), where.flat, 0, out=x)
        mixed = self._pointwise(self._mix[index], x, _RELU, residual=True)
        out = self._pointwise(self.head[index], mixed, _SIGNED, residual=False)
        return self._spread(out, where, grid)

    def _pointwise(
        self, layer: Layer, x: np.ndarray, limits: tuple[int, int], *, residual: bool
    ) -> np.ndarray:
        """Return what a 1 x 1 layer makes of packed positions."""
        out = empty_grid(x.shape[:1], layer.outputs)
        threads = torch.get_num_threads()
        edges = np.linspace(0, len(x), threads + 1).astype(np.int64)
        counts = np.ascontiguousarray(np.diff(edges), np.int32)
        source = Rows(x, edges[:-1] * x.shape[1], x.shape[1])
        convolve(
            self._library,
            layer,
            source,
            np.zeros(1, np.int64),
            counts,
            Rows(out, edges[:-1] * layer.outputs, layer.outputs),
            residual=source if residual else None,
            limits=limits,
            threads=threads,
        )
        return out

    def _spread(
        self, out: np.ndarray, where: _Positions, grid: tuple[int, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Return mean, scale and gate on the whole grid, each (bands, *grid) float32."""
        parts = np.split(out.T, 3 if self._template else 2)
        values = [parts[0], np.clip((parts[1] + 1 >> 1) + CENTRE_INDEX, 0, SCALE_COUNT - 1)]
        if self._template:
            values.append(np.clip((parts[2] + 1 >> 1) + GATE_ONE // 2, 0, GATE_ONE))
        spread = []
        for value in values:
            whole = np.zeros((len(value), int(np.prod(grid))), np.float32)
            whole[:, where.flat] = value
            spread.append(torch.from_numpy(whole.reshape(len(value), *grid)))
        return tuple(spread)


def _layer(conv: nn.Module) -> Layer:
    """Return a finished `ExactConv`, packed."""
    if not isinstance(conv, ExactConv):
        raise TypeError("a context model is made of exact convolutions only")
    stored = conv.to_integers()
    weight, bias = stored["weight"].numpy(), stored["bias"].numpy()
    return Layer.packed(weight, bias, int(stored["shift"]))


def _padded(values: np.ndarray, channels: int, sides: Sides) -> np.ndarray:
    """Return (*grid, channels) int16 with a margin of zeros on every side that is a border."""
    grid = values.shape[:-1]
    target = empty_grid(
        [begins + n + ends for n, (begins, ends) in zip(grid, sides, strict=True)], channels
    )
    inner = (slice(begins, begins + n) for n, (begins, _) in zip(grid, sides, strict=True))
    target[(*inner, slice(0, values.shape[-1]))] = values
    return target


def _rows(buffer: np.ndarray, shape: tuple[int, ...], shift: list[int]) -> Rows:
    """Return all rows of a part of a grid, (*grid, channels), that begins at ``shift``."""
    *outer, columns, channels = buffer.shape
    spans = [np.arange(s, s + n) for s, n in zip(shift[:-1], shape[:-1], strict=True)]
    numbers = np.ravel_multi_index(np.meshgrid(*spans, indexing="ij"), outer).reshape(-1)
    return Rows(buffer, (numbers * columns + shift[-1]) * channels, channels)


def _pass_rows(buffer: np.ndarray, grid: tuple[int, ...], where: _Positions) -> Rows:
    """Return the rows of a pass in a grid with or without a margin behind, (*grid, channels)."""
    *outer, columns, channels = buffer.shape
    numbers = np.ravel_multi_index(np.unravel_index(where.rows, grid[:-1]), outer)
    at = (numbers * columns + where.starts) * channels
    return Rows(buffer, at, where.stride * channels)
