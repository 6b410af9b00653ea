"""Integer network layers: exact on any machine and in any order of summation.

    whole numbers ─ convolution with whole weights ─ shift, round, clamp ─▶ whole numbers

Activations are whole multiples of 1/32. Weights are whole multiples of 2**−shift. The shift is such
that no partial sum can reach 2**24. Float32 then represents every intermediate sum exactly, so
matrix products of any library agree to the last bit (after Ballé et al. 2019, integer networks).
The native engine computes the same; this is the reference, and serves where the engine is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from deepstd.errors import BundleError
from deepstd.texture.tiling import Sides

ACTIVATION_BITS = 5
"""Fractional bits of activations."""
FEATURE_MAX = 127
"""Largest magnitude of an input feature."""
HIDDEN_MAX = 1023
"""Largest hidden activation."""
OUTPUT_MAX = 8191
"""Largest magnitude of an output."""
EXACT = 2**24
"""Whole numbers below this are exact in float32."""
MAX_SHIFT = 8
"""Most fractional bits of weights."""
STORED_PARTS = ("weight", "bias", "shift")
"""Arrays of a layer in a bundle."""
_STORED_AS = {"weight": np.int16, "bias": np.int32, "shift": np.int8}
# Columns of a matrix product: its operands stay in the cache.
_COLUMNS = 4096


class LayerSize(NamedTuple):
    """Size of an exact convolution.

    Attributes:
        inputs, outputs: numbers of channels.
        edge: edge of the kernel.
        input_max: largest magnitude of an input.
    """

    inputs: int
    outputs: int
    edge: int
    input_max: int

    def kernel(self, ndim: int) -> tuple[int, ...]:
        """Return the shape of the weights for a number of axes."""
        return (self.outputs, self.inputs, *[self.edge] * ndim)


@dataclass(frozen=True, eq=False)
class WholeConv:
    """Convolution of whole numbers by whole weights to whole numbers, zero-padded at borders.

    Attributes:
        weight: (outputs, inputs, *kernel) int16.
        bias: (outputs,) int32.
        shift: fractional bits of the weights.
    """

    weight: np.ndarray
    bias: np.ndarray
    shift: int

    @staticmethod
    def from_arrays(
        stored: Mapping[str, np.ndarray], name: str, size: LayerSize, ndim: int
    ) -> WholeConv:
        """Take a layer from the arrays of a bundle.

        Args:
            stored: arrays by name: ``name.weight``, ``name.bias`` and ``name.shift``.
            name: name of the layer.
            size: size that the network's description asks for.
            ndim: number of spatial axes.

        Raises:
            BundleError: an array is missing or does not fit, or sums could overflow.
        """
        parts = {part: stored.get(f"{name}.{part}") for part in STORED_PARTS}
        for part, values in parts.items():
            if values is None:
                raise BundleError(f"the texture network is incomplete: {name}.{part} is missing")
            if values.dtype != _STORED_AS[part]:
                raise BundleError(
                    f"stored {part} is {values.dtype}, expected {np.dtype(_STORED_AS[part])}"
                )
        weight, bias, stated = (np.asarray(parts[part]) for part in STORED_PARTS)
        if stated.size != 1:
            raise BundleError("a layer must have one shift")
        if weight.shape != size.kernel(ndim) or bias.shape != (size.outputs,):
            raise BundleError(
                f"stored weights of {name} have shape {weight.shape}, expected {size.kernel(ndim)}"
            )
        shift = int(stated.reshape(-1)[0])
        total = np.abs(weight.astype(np.int64)).reshape(size.outputs, -1).sum(1)
        reach = total * size.input_max + np.abs(bias.astype(np.int64))
        if not 0 <= shift <= MAX_SHIFT or int(reach.max()) >= EXACT:
            raise BundleError("stored weights are too large for exact arithmetic")
        return WholeConv(weight, bias, shift)

    def __call__(self, x: np.ndarray, borders: Sides | None = None) -> np.ndarray:
        """Convolve whole numbers (B, inputs, *grid) to (B, outputs, *grid), float32.

        Args:
            x: whole numbers.
            borders: for each axis, whether ``x`` begins and ends at a border; None for all. Other
                sides are not padded.
        """
        reach = self.weight.shape[-1] // 2
        sides = [(True, True)] * (x.ndim - 2) if borders is None else borders
        padding = [(reach * begins, reach * ends) for begins, ends in sides]
        padded = np.pad(x.astype(np.float32), [(0, 0), (0, 0), *padding])
        grid = tuple(n - 2 * reach for n in padded.shape[2:])
        result = np.empty((len(x), len(self.weight), *grid), np.float32)
        matrix = np.ascontiguousarray(self.weight.reshape(len(self.weight), -1), np.float32)
        for image, target in zip(padded, result, strict=True):
            self._convolve(image, matrix, target)
        return result

    def _convolve(self, image: np.ndarray, matrix: np.ndarray, target: np.ndarray) -> None:
        """Convolve one padded image (inputs, *padded) by matrix products, some rows at a time."""
        inputs, edge, grid = image.shape[0], self.weight.shape[-1], target.shape[1:]
        taps = list(product(range(edge), repeat=len(grid)))
        rows = max(1, _COLUMNS // max(1, int(np.prod(grid[1:]))))
        for start in range(0, grid[0], rows):
            stop = min(start + rows, grid[0])
            patches = np.empty((inputs, len(taps), stop - start, *grid[1:]), np.float32)
            for number, (first, *others) in enumerate(taps):
                spans = [slice(o, o + n) for o, n in zip(others, grid[1:], strict=True)]
                patches[:, number] = image[
                    (slice(None), slice(start + first, stop + first), *spans)
                ]
            total = matrix @ patches.reshape(matrix.shape[1], -1)
            total += self.bias[:, None].astype(np.float32)
            total *= np.float32(2.0**-self.shift)
            total += np.float32(0.5)
            np.floor(total, out=total)
            np.clip(total, -OUTPUT_MAX, OUTPUT_MAX, out=total)
            target[:, start:stop] = total.reshape(-1, stop - start, *grid[1:])


def relu(x: np.ndarray) -> np.ndarray:
    """Rectify activations to 0 … 1023, in place."""
    return np.clip(x, 0, HIDDEN_MAX, out=x)
