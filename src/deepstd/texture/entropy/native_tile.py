"""A tile of a level on the native engine: features, model and all passes in one call.

Level ─ NativeLevel: arrays of every scan ─ region ─▶ NativeTile
NativeTile ─ TileCoder (writes or reads a stream) ─▶ coefficients, symbols
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from deepstd.coding.native import NativeDecoder, NativeEncoder, checked, packed_tables
from deepstd.coding.tables import ScaleTables
from deepstd.engine.library import address
from deepstd.engine.tiles import LevelRecord, OutcomeRecord, TargetsRecord, TileRecord
from deepstd.texture.entropy.native_context import NativeContext, contiguous
from deepstd.texture.tiling import Region, Window
from deepstd.threads import thread_count


@dataclass(frozen=True)
class LevelArrays:
    """Arrays of a level that are known before it is coded, scan by scan.

    Attributes:
        low: (B, 1, *grid).
        parents: features of the next coarser level's subbands, (B, bands, *coarse), or None.
        parent_axes: axes that the next coarser level splits.
        template: low subband, high subbands and places of the template, (B, …), or None.
        condition: (B, conditions, 1 …).
    """

    low: np.ndarray
    parents: np.ndarray | None
    parent_axes: tuple[int, ...]
    template: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    condition: np.ndarray


class NativeLevel:
    """A level of some scans of one shape, ready for the engine.

    Args:
        model: predicts the level.
        arrays: what is known of it.
        scans: how many; what is the same for all may be given once.
    """

    def __init__(self, model: NativeContext, arrays: LevelArrays, scans: int) -> None:
        self.model = model
        self._ndim = arrays.low.ndim - 2
        self._kept: list[list[np.ndarray]] = []
        self._told = [model.told(condition) for condition in arrays.condition]
        self.records = [self._record(arrays, scan) for scan in range(scans)]

    def _record(self, arrays: LevelArrays, scan: int) -> LevelRecord:
        def of_scan(array: np.ndarray) -> np.ndarray:
            return array[min(scan, len(array) - 1)]

        (low,) = contiguous([of_scan(arrays.low)], np.float64)
        parents: list[np.ndarray] = []
        coarse = low.shape[1:]
        if arrays.parents is not None:
            parents = contiguous([of_scan(arrays.parents)], np.float32)
            coarse = parents[0].shape[1:]
        template: list[np.ndarray] = []
        if arrays.template is not None:
            template = contiguous([of_scan(part) for part in arrays.template], np.float64)
        told = self._told[min(scan, len(self._told) - 1)]
        self._kept.append([low, *parents, *template, *told])
        return LevelRecord(
            three(low.shape[1:], 1),
            three(coarse, 1),
            three([int(axis in arrays.parent_axes) for axis in range(self._ndim)], 0),
            *(self._ndim, self.model.bands, address(low)),
            address(parents[0]) if parents else None,
            *(map(address, template) if template else (None, None, None)),
            *map(address, told),
        )

    def tile(self, window: Window, region: Region, mask: np.ndarray) -> NativeTile:
        """Return a tile of the first scan; see `NativeTile.of_scan`.

        Args:
            window: the tile's surroundings as far as the model looks.
            region: the tile.
            mask: (bands, *tile) bool, which coefficients there are.
        """
        exists = np.ascontiguousarray(mask, np.uint8)
        record = TileRecord(
            three([span.start for span in window.outer], 0),
            three([span.stop for span in window.outer], 1),
            three([int(begins) for begins, _ in window.borders], 0),
            three([int(ends) for _, ends in window.borders], 0),
            three([span.start for span in region], 0),
            three([span.stop - span.start for span in region], 1),
            *(address(exists), thread_count()),
        )
        return NativeTile(self, record, exists, 0)


@dataclass(frozen=True)
class NativeTile:
    """A tile of one scan.

    Attributes:
        level: the tile's.
        record: its place.
        mask: (bands, *tile) uint8.
        scan: number of the scan.
    """

    level: NativeLevel
    record: TileRecord
    mask: np.ndarray
    scan: int

    def of_scan(self, scan: int) -> NativeTile:
        """Return the same tile of another scan."""
        return NativeTile(self.level, self.record, self.mask, scan)

    def encode(
        self, coder: NativeEncoder, tables: ScaleTables, targets: TargetsRecord
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the tile to a stream; return (bands, *tile) float64 units, and symbols (int32)."""
        return self._coded(
            self.level.model.library.tile_encode,
            ctypes.byref(targets),
            coder.handle,
            ctypes.byref(packed_tables(tables)),
        )

    def decode(self, coder: NativeDecoder, tables: ScaleTables) -> tuple[np.ndarray, np.ndarray]:
        """Read the tile from a stream; return what `encode` does.

        Raises:
            DamagedError: the stream decodes to no symbols.
        """
        return self._coded(
            self.level.model.library.tile_decode,
            coder.handle,
            ctypes.byref(packed_tables(tables)),
            *coder.pass_tables,
        )

    def _coded(self, function: Any, *arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        values = np.zeros(self.mask.shape)
        symbols = np.empty(self.mask.size, np.int32)
        outcome = OutcomeRecord(address(values), address(symbols), 0)
        records = self.level.model.record, self.level.records[self.scan], self.record
        checked(function(*map(ctypes.byref, records), *arguments, ctypes.byref(outcome)))
        return values, symbols[: outcome.count].copy()


class TileCoder(Protocol):
    """A stream that the tiles of a scan are written to or read from."""

    def code_tile(self, tile: NativeTile) -> np.ndarray:
        """Return the coefficients of a tile, (bands, *tile) float64 units."""
        ...


def three(values: Sequence[int], missing: int) -> tuple[int, ...]:
    """Return the numbers of three axes; images lack the first one."""
    return (*[missing] * (3 - len(values)), *values)
