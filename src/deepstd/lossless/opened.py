"""Parts of exactly coded voxels, from the slabs that hold them.

box ─ frames, slices, rows, columns ─▶ slabs ─ slices up to the last that is needed ─▶ voxels

A slab is decoded from its first slice on. The first request decodes no more than it needs; where a
later one needs more, the slab is decoded to its end and kept. The masks of a label map are decoded
whole.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np

from deepstd.cache import ByteCache
from deepstd.errors import DamagedError, named
from deepstd.lossless.arrangement import Box
from deepstd.lossless.payload import Masks, Parsed, check_kind


class OpenedVoxels:
    """Exactly coded voxels of which parts are decoded.

    Args:
        payload: result of `encode`.
        shape: shape of the voxels.
        dtype: type of the voxels.
        name: name of the file, for messages.
        cache: cache of decoded slabs.
        key: name of the payload among the keys of the cache.

    Raises:
        DamagedError: the payload is not one of such voxels.
        ValueError: the shape or type is not one that `encode` takes.
    """

    def __init__(
        self,
        payload: bytes,
        shape: tuple[int, ...],
        dtype: np.dtype,
        name: str,
        cache: ByteCache,
        key: Hashable,
    ) -> None:
        check_kind(shape, dtype)
        self._dtype, self._shape, self._name = dtype, shape, name
        self._cache, self._key = cache, key
        with named(name, DamagedError):
            self._parsed = Parsed.of(payload, shape, dtype)

    def part(self, box: Box) -> np.ndarray:
        """Return the voxels of a part.

        Args:
            box: (start, stop) along each axis, not empty.

        Returns:
            array of the box's shape and the type of the voxels.
        """
        mapping, masks = self._parsed.mapping, self._parsed.masks
        levels = self._of_slabs(box) if masks is None else self._of_masks(masks, box)
        if mapping.low is not None:
            low = np.ascontiguousarray(mapping.low.reshape(self._shape)[box])
            mapping = replace(mapping, low=low.reshape(-1))
        return mapping.voxels(levels).astype(self._dtype, copy=False)

    def _of_masks(self, masks: Masks, box: Box) -> np.ndarray:
        """Return the levels of a part of a label map, which is decoded whole and kept."""

        def whole() -> np.ndarray:
            with named(self._name, DamagedError):
                return masks.levels(self._shape, self._parsed.mapping.most)

        levels = self._cache.get((self._key, "masks"), whole, lambda found: found.nbytes)
        return np.ascontiguousarray(levels[box])

    def _of_slabs(self, box: Box) -> np.ndarray:
        """Return the levels of a part, from the slabs that hold it."""
        arrangement = self._parsed.arrangement
        frames, slices, rows, columns = arrangement.places(box)
        numbers = [
            frame * arrangement.slices + number
            for frame in range(frames.start, frames.stop)
            for number in range(slices.start, slices.stop)
        ]
        stacked = self._of_slices(numbers, rows, columns)
        sizes = frames.stop - frames.start, slices.stop - slices.start
        return arrangement.part_restored(stacked.reshape(*sizes, *stacked.shape[1:]), box)

    def _of_slices(self, numbers: list[int], rows: slice, columns: slice) -> np.ndarray:
        """Return rows and columns of slices of the stack, (slices, rows, columns) int32."""
        found = np.empty((len(numbers), rows.stop - rows.start, columns.stop - columns.start), "i4")
        count, height, _ = self._parsed.arrangement.stack
        for slab, (own_slices, own_rows) in enumerate(self._parsed.arrangement.slabs()):
            first, stop, _ = own_slices.indices(count)
            top, bottom, _ = own_rows.indices(height)
            inside = [n for n in numbers if first <= n < stop]
            above, below = max(top, rows.start), min(bottom, rows.stop)
            if not inside or above >= below:
                continue
            levels = self._slab(slab, (stop - first, bottom - top), inside[-1] - first + 1)
            at = numbers.index(inside[0])
            target = found[at : at + len(inside), above - rows.start : below - rows.start]
            target[...] = levels[[n - first for n in inside], above - top : below - top, columns]
        return found

    def _slab(self, number: int, size: tuple[int, int], needed: int) -> np.ndarray:
        """Return the levels of the first ``needed`` slices of a slab, or more of them."""
        (slices, rows), columns = size, self._parsed.arrangement.stack[2]
        key = self._key, "slab", number
        held = self._cache.find(key)
        if held is not None and len(held) >= needed:
            return held
        levels = np.zeros((needed if held is None else slices, rows, columns), np.int32)
        self._parsed.decode_slabs([self._parsed.streams[number]], [levels])
        self._cache.put(key, levels, levels.nbytes)
        return levels
