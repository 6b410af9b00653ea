"""Exact part of a layered file: the voxels, given what a lossy file predicts of them.

voxels, prediction ─ numbers in steps of the voxels ─▶ differences ─ lossless ┬ smaller ─▶ payload
voxels ──────────────────────────────────────────────────────────── lossless ─┘

The prediction is computed without filters: these are the only floats in a decoder that another
machine may round otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from deepstd import io, lossless
from deepstd.coding.bytes import Cursor
from deepstd.lossless.mapping import in_order, multiples, ordered, products
from deepstd.volume import SourceHeader, Volume

_GRID = struct.Struct("<dd")
_SIGNED = ("i1", "i2", "i4", "i8")
ValuesOf = Callable[[bytes, tuple[int, ...], np.dtype, str], np.ndarray]
"""Decoder of values, given a payload, their shape and type, and the name of the file."""
# Numbers in steps that float64 holds exactly.
_MOST_STEPS = 2.0**52


class Way(IntEnum):
    """Contents of a payload, its first byte.

    VOXELS and STORED hold voxels, or values as DICOM slices on different scales store them. The
    others hold differences: of numbers of steps from an origin, of such numbers of stored values,
    or of the ranks of bits.
    """

    VOXELS = 0
    STORED = 1
    STEPS = 2
    STORED_STEPS = 3
    RANKS = 4


@dataclass(frozen=True)
class _Grid:
    """Values origin + step · number, of integers of at most 4 bytes or of floats."""

    origin: float
    step: float

    @staticmethod
    def of(values: np.ndarray) -> _Grid | None:
        """Return the coarsest grid of all values, bit by bit; None where float64 holds none."""
        if values.dtype.kind == "f":
            found = multiples(values)
            return None if found is None else _Grid(0.0, found[0])
        if values.dtype.itemsize > 4:
            return None
        least = int(values.min())
        step = int(np.gcd.reduce((values.astype(np.int64) - least).reshape(-1)))
        return _Grid(float(least), float(max(step, 1)))

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return the nearest numbers of steps, int64."""
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.rint((values.astype(np.float64) - self.origin) / self.step)
        return np.clip(np.nan_to_num(steps), -_MOST_STEPS, _MOST_STEPS).astype(np.int64)

    def values(self, numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return the values of numbers in a type."""
        if dtype.kind == "f":
            return products(numbers, self.step, dtype)
        return (numbers * int(self.step) + int(self.origin)).astype(dtype)


def encode(volume: Volume, base: Volume) -> bytes:
    """Encode the voxels of a scan exactly, given a prediction of them.

    Args:
        volume: the scan, with the header that the lossy file keeps.
        base: the prediction, a scan of the same shape and type.
    """
    stored = io.stored_values(volume)
    whole = volume.voxels if stored is None else stored
    alone = bytes([Way.VOXELS if stored is None else Way.STORED]) + lossless.encode(whole)
    differing = _differences(volume, base, stored)
    return min(alone, differing, key=len)


def _differences(volume: Volume, base: Volume, stored: np.ndarray | None) -> bytes:
    true, predicted = _native(volume.voxels), _native(base.voxels)
    way = Way.STEPS
    if stored is not None and (of_base := io.stored_values(base)) is not None:
        true, predicted, way = _native(stored), _native(of_base), Way.STORED_STEPS
    grid = _Grid.of(true)
    if grid is None:
        way = Way.RANKS
        ranks = ordered(_native(volume.voxels)) - ordered(_native(base.voxels))
        found, head = ranks.view(np.int64), b""
    else:
        found, head = (
            grid.numbers(true) - grid.numbers(predicted),
            _GRID.pack(grid.origin, grid.step),
        )
    low, high = int(found.min()), int(found.max())
    code = next(
        n for n, t in enumerate(_SIGNED) if np.iinfo(t).min <= low and high <= np.iinfo(t).max
    )
    return (
        bytes([way, code])
        + head
        + lossless.encode(found.astype(_SIGNED[code]), may_be_labels=False)
    )


def decode(
    payload: bytes,
    base: Volume | None,
    about: Decoded,
    name: str,
    values_of: ValuesOf = lossless.decode,
) -> np.ndarray:
    """Decode exact voxels of a scan, or of a part of it.

    Args:
        payload: result of `encode`.
        base: the prediction; None where `needs_base` is False.
        about: shape, type and header of the scan or its part.
        name: name of the file, for messages.
        values_of: decodes the exactly coded values of the scan or its part.

    Raises:
        DamagedError: the payload is malformed.
    """
    cursor = Cursor(payload, name, "its exact part")
    way = cursor.byte()
    if way in (Way.VOXELS, Way.STORED):
        dtype = about.dtype if way == Way.VOXELS else io.stored_type(about.source)
        if dtype is None:
            raise cursor.error("its header has no stored values")
        values = values_of(cursor.take(cursor.remaining), about.shape, dtype, name)
        return values if way == Way.VOXELS else io.voxels_of(values, about.source, about.dtype)
    if way not in tuple(Way) or base is None:
        raise cursor.error(f"way of coding {way} does not exist")
    code = cursor.byte()
    if code >= len(_SIGNED):
        raise cursor.error(f"type {code} of differences does not exist")
    grid = None if way == Way.RANKS else _Grid(*_GRID.unpack(cursor.take(_GRID.size)))
    if grid is not None and not (np.isfinite(grid.origin) and 0 < grid.step < np.inf):
        raise cursor.error(f"origin {grid.origin} and step {grid.step} are no grid")
    dtype = np.dtype(_SIGNED[code])
    found = values_of(cursor.take(cursor.remaining), about.shape, dtype, name)
    found = found.astype(np.int64)
    if grid is None:
        ranks = ordered(_native(base.voxels)) + found.view(np.uint64)
        return in_order(ranks, about.dtype.newbyteorder("=")).astype(about.dtype)
    if way == Way.STEPS:
        native = about.dtype.newbyteorder("=")
        return grid.values(grid.numbers(_native(base.voxels)) + found, native).astype(about.dtype)
    stored, dtype = io.stored_values(base), io.stored_type(about.source)
    if stored is None or dtype is None:
        raise cursor.error("its header has no stored values")
    return io.voxels_of(grid.values(grid.numbers(stored) + found, dtype), about.source, about.dtype)


@dataclass(frozen=True)
class Decoded:
    """Shape, type and header of a scan whose voxels are to be decoded."""

    shape: tuple[int, ...]
    dtype: np.dtype
    source: SourceHeader


def needs_base(payload: bytes) -> bool:
    """Return True where a payload holds differences to a prediction."""
    return payload[:1] not in (bytes([Way.VOXELS]), bytes([Way.STORED]))


def _native(voxels: np.ndarray) -> np.ndarray:
    native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    return native.view(np.uint8) if native.dtype.kind == "b" else native
