"""Exact integer convolutions on packed 16-bit activations.

    weights (outputs, inputs, *kernel) ─ Layer: pairs of input channels side by side
    activations (*grid, channels) int16 ─ convolve(Layer, Rows) ─▶ activations

The caller pads the grids. A row of positions is given by its offset in a buffer, so the same code
convolves a whole grid, a checkerboard of it, or a packed list of positions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from deepstd.engine.library import address

SLACK_POSITIONS = 12
"""Positions past the end of a row that the engine may read."""
_LANES = 16  # int32 accumulators of a 512-bit register
_ALL = -1
# Products below which a second thread does not pay.
_SHARED_FROM = 20_000_000


class _LayerRecord(ctypes.Structure):
    _fields_ = [
        *[(n, ctypes.c_void_p) for n in ("weights", "bias", "extra", "taps")],
        *[(n, ctypes.c_int32) for n in ("tap_count", "pairs", "outputs", "shift", "low", "high")],
    ]


class _RowsRecord(ctypes.Structure):
    _fields_ = [
        *[(n, ctypes.c_void_p) for n in ("input", "residual", "output")],
        *[(n, ctypes.c_void_p) for n in ("input_at", "residual_at", "output_at", "counts")],
        *[(n, ctypes.c_int64) for n in ("input_step", "residual_step", "output_step", "count")],
    ]


@dataclass(frozen=True)
class Layer:
    """An exact convolution, packed for the engine.

    Attributes:
        weights: (taps, pairs, blocks * 16, 2) int16.
        bias: (blocks * 16,) int32, with half a unit of the shift for rounding.
        kernel: kernel size along each axis.
        outputs: number of output channels.
        shift: fractional bits of the weights.
    """

    weights: np.ndarray
    bias: np.ndarray
    kernel: tuple[int, ...]
    outputs: int
    shift: int

    @staticmethod
    def packed(weight: np.ndarray, bias: np.ndarray, shift: int) -> Layer:
        """Pack a layer for the engine.

        Args:
            weight: (outputs, inputs, *kernel) integers that fit int16.
            bias: (outputs,) integers that fit int32.
            shift: fractional bits of the weights.
        """
        outputs, inputs = weight.shape[:2]
        taps = int(np.prod(weight.shape[2:]))
        blocks, pairs = -(-outputs // _LANES), (inputs + 1) // 2
        arranged = np.zeros((taps, 2 * pairs, blocks * _LANES), np.int16)
        arranged[:, :inputs, :outputs] = weight.reshape(outputs, inputs, taps).transpose(2, 1, 0)
        arranged = arranged.reshape(taps, pairs, 2, blocks * _LANES).swapaxes(2, 3)
        full = np.zeros(blocks * _LANES, np.int32)
        full[:outputs] = bias + ((1 << shift) >> 1)
        return Layer(np.ascontiguousarray(arranged), full, weight.shape[2:], outputs, shift)

    @property
    def channels(self) -> int:
        """Number of input channels, rounded up to an even number."""
        return 2 * self.weights.shape[1]


@dataclass(frozen=True)
class Rows:
    """Rows of positions in a buffer of int16.

    Attributes:
        buffer: any contiguous array.
        at: (rows,) int64, offset of the first element of each row in elements.
        step: distance between neighbouring positions in elements.
    """

    buffer: np.ndarray
    at: np.ndarray
    step: int


def empty_grid(grid: Sequence[int], channels: int) -> np.ndarray:
    """Return zeros, (*grid, channels) int16, with readable slack behind them for the engine."""
    size = int(np.prod(grid)) * channels
    whole = np.zeros(size + 2 * SLACK_POSITIONS * channels, np.int16)
    return whole[:size].reshape(*grid, channels)


def tap_offsets(kernel: Sequence[int], grid: Sequence[int], channels: int) -> np.ndarray:
    """Return the offsets of a kernel's taps in a padded grid, in elements; (taps,) int64."""
    strides = channels * np.cumprod([1, *grid[:0:-1]])[::-1]
    positions = np.stack(np.meshgrid(*map(np.arange, kernel), indexing="ij"), -1)
    return (positions.reshape(-1, len(kernel)) @ strides).astype(np.int64)


def convolve(
    library: Any,
    layer: Layer,
    source: Rows,
    taps: np.ndarray,
    counts: np.ndarray,
    output: Rows,
    *,
    extra: np.ndarray | None = None,
    residual: Rows | None = None,
    limits: tuple[int, int],
    threads: int = 1,
    instructions: int = _ALL,
) -> None:
    """Write clamp(clamp(convolution) + extra + residual) of all rows into the output.

    Args:
        library: the engine.
        layer: weights.
        source: rows of the input; `SLACK_POSITIONS` positions behind each row must be readable.
        taps: (taps,) int64, offsets of the kernel's taps in elements; see `tap_offsets`.
        counts: (rows,) int32, number of positions in each row.
        output: rows of the output; their buffer is written.
        extra: (outputs,) int32 added after the shift, or None.
        residual: activations to add, or None.
        limits: least and largest value after the last clamp.
        threads: number of threads that share the rows.
        instructions: best instruction set allowed: 0 plain C, 1 AVX2, 2 AVX-512 VNNI, -1 any.
    """
    record = _LayerRecord(
        *(address(layer.weights), address(layer.bias)),
        *(None if extra is None else address(extra), address(taps)),
        *(taps.size, layer.weights.shape[1], layer.outputs, layer.shift, *limits),
    )
    rows = _RowsRecord(
        source.buffer.ctypes.data,
        None if residual is None else residual.buffer.ctypes.data,
        output.buffer.ctypes.data,
        address(source.at),
        None if residual is None else address(residual.at),
        address(output.at),
        address(counts),
        *(source.step, 0 if residual is None else residual.step, output.step, counts.size),
    )

    def run(begin: int, end: int) -> None:
        library.convolve(ctypes.byref(record), ctypes.byref(rows), begin, end, instructions)

    products = int(counts.sum()) * taps.size * layer.channels * layer.outputs
    _shared(run, counts.size, threads if products > _SHARED_FROM else 1)


def _shared(run: Callable[[int, int], None], rows: int, threads: int) -> None:
    """Run equal shares of the rows, each in a thread; the last share in the calling thread."""
    edges = np.linspace(0, rows, max(1, min(threads, rows)) + 1).astype(int).tolist()
    spans = list(pairwise(edges))
    if len(spans) < 2:
        run(0, rows)
        return
    with ThreadPoolExecutor(len(spans) - 1) as pool:
        others = [pool.submit(run, *span) for span in spans[:-1]]
        run(*spans[-1])
        for other in others:
            other.result()
