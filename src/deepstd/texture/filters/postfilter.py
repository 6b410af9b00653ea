"""Learned post-filter: estimates the quantisation error of the reconstruction.

    reconstruction ─ high-pass ─┐
    template − reconstruction ──┴ fold voxels into channels ─ blocks ─ unfold ─ + ─▶ restored

The filter works in quantisation steps and is conditioned on the logarithm of the step, so one
filter serves every rate. It uses ordinary floating point, because no symbol depends on it. The
engine computes it; without one, `postfilter_arrays` does. `networks/postfilter` is its training.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from deepstd.devices import CPU, Device, Workers
from deepstd.engine.library import engine
from deepstd.engine.postfilter import FilterLayers, Truth
from deepstd.errors import BundleError
from deepstd.texture.entropy.context import CONDITION_UNIT
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.filters import postfilter_arrays
from deepstd.texture.filters.postfilter_arrays import Convolution
from deepstd.texture.tiling import FILTER_TILES, Tile, TileEdges, tiles
from deepstd.threads import thread_count


@dataclass(frozen=True)
class PostFilter:
    """Post-filter (diagram of the module).

    Attributes:
        ndim: 2 or 3 spatial axes.
        template: whether the prediction is an input.
        layers: entry, first and second convolution of every block, exit.
        condition: what the condition vector adds to the entry, a layer of one tap.
    """

    ndim: int
    template: bool
    layers: tuple[Convolution, ...]
    condition: Convolution

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray], ndim: int, template: bool) -> PostFilter:
        """Make a post-filter from the arrays of a bundle.

        Args:
            arrays: weights and biases by name within the filter, such as "entry.weight".
            ndim: 2 or 3 spatial axes.
            template: whether the prediction is an input.

        Raises:
            BundleError: an array is missing, left over, of another shape or not finite.
        """
        blocks = len({name.split(".")[1] for name in arrays if name.startswith("blocks.")})
        width = len(arrays.get("entry.bias", ()))
        cells = 2**ndim
        kernel = (3,) * ndim
        sizes: dict[str, tuple[int, ...]] = {
            "entry": (width, cells * (2 if template else 1), *kernel)
        }
        for block in range(blocks):
            for part in ("first", "second"):
                sizes[f"blocks.{block}.{part}"] = (width, width, *kernel)
        sizes["exit"] = (cells, width, *[1] * ndim)
        # The rest of the bundle gives the length of the condition vector.
        conditions = arrays.get("condition.weight", np.empty(0)).shape[-1]
        sizes["condition"] = (width, conditions)
        *layers, condition = (_layer(arrays, name, size) for name, size in sizes.items())
        if left_over := sorted(arrays.keys() - {f"{n}.{p}" for n in sizes for p in _PARTS}):
            raise BundleError(f"the post-filter has no place for {left_over[0]}")
        if not blocks:
            raise BundleError("the post-filter has no residual block")
        return PostFilter(ndim, template, tuple(layers), condition)

    @property
    def sizes(self) -> tuple[int, int]:
        """Channels of the blocks, and number of residual blocks."""
        return len(self.layers[0].bias), (len(self.layers) - 2) // 2

    @property
    def halo(self) -> int:
        """Voxels that a filtered voxel depends on, on either side."""
        # Reach of the 3-tap convolutions on the folded grid, and of the high-pass.
        return 2 * (len(self.layers) - 1) + 2

    def __call__(
        self, low: np.ndarray, template: np.ndarray | None, condition: np.ndarray
    ) -> np.ndarray:
        """Return the restored values in steps, (B, 1, *shape) float32.

        Args:
            low: reconstruction in 1/64 step, (B, 1, *shape), any float type.
            template: predicted values in 1/64 step, (1 or B, 1, *shape); None where the filter
                needs none.
            condition: condition vector, (1 or B, conditions, 1 …).
        """
        restored = np.empty(low.shape, np.float32)
        for n, values in enumerate(low[:, 0]):
            predicted, bias = self._of_scan(n, template, condition)
            if engine() is None:
                restored[n, 0] = postfilter_arrays.restored(self.layers, values, predicted, bias)
            else:
                _, restored[n, 0] = self.native.run(values, predicted, bias, thread_count())
        return restored

    def gradient(
        self,
        low: np.ndarray,
        template: np.ndarray | None,
        condition: np.ndarray,
        truth: np.ndarray,
        inner: tuple[slice, ...],
    ) -> tuple[float, np.ndarray]:
        """Return the squared error of a region, and its gradient by the reconstruction.

        The means of the high-pass are not rounded here.

        Args:
            low: reconstruction in 1/64 step, (1, 1, *shape), any float type.
            template: predicted values in 1/64 step, (1, 1, *shape); None where the filter needs
                none.
            condition: condition vector, (1, conditions, 1 …).
            truth: true values in steps, (1, 1, *shape).
            inner: the region, as an index into the spatial axes.

        Returns:
            Sum over the region in squared steps, and its gradient by the reconstruction in steps,
            (1, 1, *shape) float32.
        """
        predicted, bias = self._of_scan(0, template, condition)
        true = Truth(truth[0, 0], inner)
        if engine() is None:
            error, found = postfilter_arrays.gradient(self.layers, low[0, 0], predicted, bias, true)
        else:
            error, found = self.native.run(low[0, 0], predicted, bias, thread_count(), true)
        return error, found[None, None]

    def _of_scan(
        self, number: int, template: np.ndarray | None, condition: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Return one scan's prediction, (*shape), and the entry's biases, (width,)."""
        vector = condition[min(number, len(condition) - 1)].reshape(-1).astype(np.float32)
        share = self.condition.weight @ (vector / CONDITION_UNIT) + self.condition.bias
        predicted = None
        if self.template:
            if template is None:
                raise ValueError("this post-filter needs a prediction")
            predicted = template[min(number, len(template) - 1), 0]
        return predicted, self.layers[0].bias + share

    @cached_property
    def native(self) -> FilterLayers:
        """Layers as the engine reads them."""
        return FilterLayers.packed(self.ndim, self.template, self.layers)


@dataclass(frozen=True)
class NoFilter:
    """Identity in place of a post-filter, for networks without one."""

    halo = 0

    def __call__(
        self, low: np.ndarray, template: np.ndarray | None, condition: np.ndarray
    ) -> np.ndarray:
        """Return the reconstruction in steps, (B, 1, *shape) float32."""
        return (low * (1.0 / UNITS_PER_STEP)).astype(np.float32)

    def gradient(
        self,
        low: np.ndarray,
        template: np.ndarray | None,
        condition: np.ndarray,
        truth: np.ndarray,
        inner: tuple[slice, ...],
    ) -> tuple[float, np.ndarray]:
        """Return the squared error of a region and its gradient, as `PostFilter.gradient` does."""
        found = np.zeros(low.shape, np.float32)
        region = (..., *inner)
        error = low[region] * (1.0 / UNITS_PER_STEP) - truth[region]
        found[region] = 2 * error
        return float(np.square(error, dtype=np.float64).sum()), found


class Filter(Protocol):
    """Interface of a post-filter, on the CPU or on a GPU."""

    @property
    def halo(self) -> int:
        """Voxels that a filtered voxel depends on, on either side."""
        ...

    def __call__(
        self, low: np.ndarray, template: np.ndarray | None, condition: np.ndarray
    ) -> np.ndarray:
        """Return the restored values in steps (`PostFilter.__call__`)."""
        ...


def restore(
    filter_on: Callable[[Device], Filter],
    low: np.ndarray,
    template: np.ndarray | None,
    condition: np.ndarray,
    workers: Workers = CPU,
    edges: TileEdges = FILTER_TILES,
) -> np.ndarray:
    """Filter a scan tile by tile, so that memory stays bounded.

    Args:
        filter_on: returns the filter on a device.
        low: reconstruction in 1/64 step, (1, 1, *shape).
        template: predicted values in 1/64 step, (1, 1, *shape), or None.
        condition: condition vector, (1, conditions, 1 …).
        workers: devices that share the tiles.
        edges: edges of the tiles.

    Returns:
        Restored values in steps, (*shape) float32.
    """
    restored = np.empty(low.shape[2:], np.float32)

    def restore_tile(device: Device, tile: Tile) -> None:
        part = None if template is None else template[tile.window]
        values = filter_on(device)(low[tile.window], part, condition)
        restored[tile.outer] = values[0, 0][tile.inner]

    halo = filter_on(workers.first).halo
    deque(workers.map(restore_tile, tiles(restored.shape, halo, edges)), maxlen=0)
    return restored


_PARTS = ("weight", "bias")


def _layer(arrays: Mapping[str, np.ndarray], name: str, size: tuple[int, ...]) -> Convolution:
    """Return a layer of weights of a size, in float32.

    Raises:
        BundleError: an array is missing, of another shape or not finite.
    """
    found = []
    for part, expected in zip(_PARTS, (size, size[:1]), strict=True):
        full = f"{name}.{part}"
        if full not in arrays:
            raise BundleError(f"the post-filter is incomplete: {full} is missing")
        values = np.asarray(arrays[full], np.float32)
        if values.shape != expected:
            raise BundleError(f"{full} has shape {values.shape}: expected {expected}")
        if not np.isfinite(values).all():
            raise BundleError(f"{full} has values that are not finite")
        found.append(values)
    return Convolution(*found)
