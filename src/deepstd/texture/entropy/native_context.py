"""A `LevelContext` on the native engine: the same integers, only where they are needed.

    features ─ padded int16 grid ─ four convolutions, condition, residual, clamp ─▶ hidden
    hidden, known ─ positions of one pass ─ known ─ mix ─ head ─▶ output of the head

Each pass is computed at its own positions alone: half of a 3-D tile, a quarter or a half of a 2-D
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from deepstd.engine.convolution import Layer, Rows, convolve, empty_grid, tap_offsets
from deepstd.engine.library import engine
from deepstd.texture.entropy.context import LevelContext
from deepstd.texture.entropy.integer import HIDDEN_MAX, OUTPUT_MAX, ExactConv
from deepstd.texture.tiling import Sides

_RELU = (0, HIDDEN_MAX)
_SIGNED = (-OUTPUT_MAX, OUTPUT_MAX)
Shape = tuple[int, ...]


@dataclass(frozen=True)
class PassPositions:
    """Positions of one pass of a tile, row by row; every second column of a row.

    Attributes:
        flat: (n,) int64, index of each position in the flattened grid.
        rows: (rows,) int64, row of the grid, outer axes flattened.
        starts: (rows,) int64, first column of each row.
        counts: (rows,) int32, positions of each row.
    """

    flat: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


@lru_cache(maxsize=64)
def pass_positions(grid: Shape, index: int) -> PassPositions:
    """Return the positions of pass ``index``, as `context.pass_of_position` has them."""
    outer = np.stack(np.meshgrid(*map(np.arange, grid[:-1]), indexing="ij"), -1)
    parity = outer.reshape(-1, len(grid) - 1).sum(1) % 2
    if len(grid) == 3:
        starts, used = (index + parity) % 2, np.ones(len(parity), bool)
    elif index < 2:
        starts, used = parity, parity == index
    else:
        starts, used = 1 - parity, np.ones(len(parity), bool)
    counts = np.maximum(0, (grid[-1] - starts + 1) // 2)
    rows = np.flatnonzero(used & (counts > 0))
    starts, counts = starts[rows], counts[rows]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    flat = np.repeat(rows * grid[-1] + starts, counts) + 2 * within
    return PassPositions(flat, rows, starts, counts.astype(np.int32))


class NativeContext:
    """The engine's version of one `LevelContext`.

    Args:
        library: the engine.
        model: whose layers are all finished.

    Attributes:
        library: the engine.
        passes, bands: passes of a level, and high subbands that they predict.
    """

    def __init__(self, library: Any, model: LevelContext) -> None:
        self.library = library
        self._conditions = model.first_condition, model.second_condition
        self._layers = [_packed(m) for m in (model.first, model.second, model.third, model.fourth)]
        self._known, self._mix, self._head = (
            [_packed(m) for m in modules] for modules in (model.known, model.mix, model.head)
        )
        self._width = self._layers[0].outputs
        self.passes = len(self._head)
        self.bands = self._head[0].outputs // (3 if model.has_template else 2)

    @property
    def known_channels(self) -> int:
        """Channels of the features of coefficients that are known, an even number."""
        return 2 * ((self.bands + 1) // 2)

    def hidden(
        self, features: torch.Tensor, condition: torch.Tensor, sides: Sides
    ) -> list[np.ndarray]:
        """Return the hidden activations of each scan, (*grid, width) int16.

        Args:
            features: (B, features, *grid) whole numbers.
            condition: (1 or B, conditions, 1 …).
            sides: of each axis, whether the features begin and end where the level does.
        """
        values = features.movedim(1, -1).numpy()
        first, second = (
            np.broadcast_to(
                layer(condition).flatten(1).numpy().astype(np.int32), (len(values), self._width)
            )
            for layer in self._conditions
        )
        return [
            self._hidden(scan, np.ascontiguousarray(a), np.ascontiguousarray(b), sides)
            for scan, a, b in zip(values, first, second, strict=True)
        ]

    def _hidden(
        self, features: np.ndarray, first: np.ndarray, second: np.ndarray, sides: Sides
    ) -> np.ndarray:
        x = _padded(features, self._layers[0].channels, sides)
        x1 = self._convolved(0, x, sides, extra=first)
        x2 = self._convolved(1, x1, sides, extra=second, residual=(x1, 1))
        x3 = self._convolved(2, x2, sides)
        without_padding = ((False, False),) * len(sides)
        return self._convolved(3, x3, sides, residual=(x2, 2), padded=without_padding)

    def _convolved(
        self,
        number: int,
        source: np.ndarray,
        sides: Sides,
        *,
        extra: np.ndarray | None = None,
        residual: tuple[np.ndarray, int] | None = None,
        padded: Sides | None = None,
    ) -> np.ndarray:
        """Return a grid, padded on borders, of what a layer makes of a padded grid.

        Args:
            number: of the layer.
            source: (*padded grid, channels).
            sides: which sides are borders.
            extra: condition to add, (width,).
            residual: padded grid to add, and its margin on sides that are no border.
            padded: on which sides the result is padded; None for all borders.
        """
        layer, padded = self._layers[number], padded or sides
        made = tuple(n - 2 for n in source.shape[:-1])
        target = empty_grid(
            [a + n + b for n, (a, b) in zip(made, padded, strict=True)], self._width
        )
        added = None
        if residual is not None:
            grid, margin = residual
            added = _part(grid, made, tuple(1 if begins else margin for begins, _ in sides))
        convolve(
            self.library,
            layer,
            _part(source, made, (0,) * len(made)),
            tap_offsets(layer.kernel, source.shape[:-1], source.shape[-1]),
            np.full(int(np.prod(made[:-1])), made[-1], np.int32),
            _part(target, made, tuple(int(begins) for begins, _ in padded)),
            extra=extra,
            residual=added,
            limits=_RELU,
            threads=torch.get_num_threads(),
        )
        return target

    def output(self, index: int, hidden: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the head's output at the positions of a pass, (n, outputs) int16.

        Args:
            index: of the pass.
            hidden: (*grid, width) int16, contiguous.
            known: (*grid + 2, known channels) int16, features of known coefficients; the margin
                of one position on every side is zero.
        """
        grid = hidden.shape[:-1]
        where = pass_positions(grid, index)
        inside = _pass_rows(hidden, grid, where)
        x = empty_grid((where.flat.size,), self._width)
        if index:
            layer = self._known[index - 1]
            packed = np.cumsum(where.counts, dtype=np.int64) - where.counts
            convolve(
                self.library,
                layer,
                _pass_rows(known, grid, where),
                tap_offsets(layer.kernel, known.shape[:-1], known.shape[-1]),
                where.counts,
                Rows(x, packed * self._width, self._width),
                residual=inside,
                limits=_RELU,
                threads=torch.get_num_threads(),
            )
        else:
            np.take(hidden.reshape(-1, self._width), where.flat, 0, out=x)
        mixed = self._pointwise(self._mix[index], x, _RELU, residual=True)
        return self._pointwise(self._head[index], mixed, _SIGNED, residual=False)

    def _pointwise(
        self, layer: Layer, x: np.ndarray, limits: tuple[int, int], *, residual: bool
    ) -> np.ndarray:
        """Return what a 1 x 1 layer makes of packed positions."""
        out = empty_grid(x.shape[:1], layer.outputs)
        threads = torch.get_num_threads()
        edges = np.arange(threads + 1, dtype=np.int64) * len(x) // threads
        source = Rows(x, edges[:-1] * x.shape[1], x.shape[1])
        convolve(
            self.library,
            layer,
            source,
            _HERE,
            np.diff(edges).astype(np.int32),
            Rows(out, edges[:-1] * layer.outputs, layer.outputs),
            residual=source if residual else None,
            limits=limits,
            threads=threads,
        )
        return out


_HERE = np.zeros(1, np.int64)
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


def _packed(conv: nn.Module) -> Layer:
    """Return a finished `ExactConv`, packed."""
    if not isinstance(conv, ExactConv):
        raise TypeError("a context model is made of exact convolutions only")
    stored = conv.to_integers()
    weight, bias = stored["weight"].numpy(), stored["bias"].numpy()
    return Layer.packed(weight, bias, int(stored["shift"]))


def _padded(values: np.ndarray, channels: int, sides: Sides) -> np.ndarray:
    """Return (*grid, channels) int16 with a margin of zeros on every side that is a border."""
    grid = values.shape[:-1]
    target = empty_grid([a + n + b for n, (a, b) in zip(grid, sides, strict=True)], channels)
    inner = (slice(a, a + n) for n, (a, _) in zip(grid, sides, strict=True))
    target[(*inner, slice(0, values.shape[-1]))] = values
    return target


def _part(buffer: np.ndarray, shape: Shape, begin: Shape) -> Rows:
    """Return all rows of a part of a grid, (*grid, channels), that begins at a position."""
    channels = buffer.shape[-1]
    places = _row_places(buffer.shape[:-1], shape, begin)
    return Rows(buffer, places * channels, channels)


@lru_cache(maxsize=256)
def _row_places(grid: Shape, shape: Shape, begin: Shape) -> np.ndarray:
    """Return the position where each row of a part of a grid begins, (rows,) int64."""
    spans = [np.arange(b, b + n) for b, n in zip(begin[:-1], shape[:-1], strict=True)]
    numbers = np.ravel_multi_index(np.meshgrid(*spans, indexing="ij"), grid[:-1])
    return numbers.reshape(-1).astype(np.int64) * grid[-1] + begin[-1]


def _pass_rows(buffer: np.ndarray, grid: Shape, where: PassPositions) -> Rows:
    """Return the rows of a pass in a buffer, (*grid, channels), with or without a margin behind."""
    *outer, columns, channels = buffer.shape
    numbers = np.ravel_multi_index(np.unravel_index(where.rows, grid[:-1]), outer)
    return Rows(buffer, (numbers * columns + where.starts) * channels, 2 * channels)
