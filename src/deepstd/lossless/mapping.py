"""Voxels of every type <-> levels: small integers from 0 on, near where values are near.

    integers ─────────────────────────────────────────▶ numbers ─┐
    floats ── multiples of one number? ── factors ────▶          ├─ − least, ÷ gcd ─▶ levels
           └─ else their bits, in order of value ─────▶          │
    few distinct values ── rank in a table ───────────▶ ─────────┘

Factors are used where they give back all bits of all voxels. The coder takes levels below 2^24; of
larger ones it takes the high bits, and the low bits are stored apart.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from deepstd.errors import DamagedError
from deepstd.lossless.fields import Reader, number, packed

LEVEL_BITS = 24
"""Bits of a level at most."""
_PLAIN, _MULTIPLES, _TABLE = range(3)
_MOST_RANKS = 1 << 16
# A table pays where fewer values occur than this share of the range in the middle of a scan.
_SPARSE = 0.6
# And where there are at least this many voxels for each of its entries.
_VOXELS_PER_ENTRY = 8
# The middle of a scan: values between these ranks, in shares of all voxels.
_MIDDLE = (0.05, 0.95)
_MOST_FACTOR = 2.0**40  # of a slope that is sought; beyond it, floats have no such structure
_SLOPE = struct.Struct("<d")


@dataclass(frozen=True)
class Levels:
    """Levels of a scan.

    Attributes:
        high: int32 from 0 to ``most``, in the shape of the scan.
        most: the largest level.
        fields: the way from levels to voxels, as fields of a payload.
    """

    high: np.ndarray
    most: int
    fields: bytes


def to_levels(voxels: np.ndarray, *, ranked: bool = True) -> Levels:
    """Map voxels to levels.

    Args:
        voxels: any shape and type.
        ranked: few distinct values may become ranks in a table.
    """
    native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    numbers, head = ordered(native), bytes((_PLAIN,))
    if native.dtype.kind == "f" and (found := multiples(native)) is not None:
        slope, factors = found
        numbers, head = ordered(factors), bytes((_MULTIPLES,)) + _SLOPE.pack(slope)
    values, counts = _distinct(numbers)
    step = max(1, int(np.gcd.reduce(values - values[0])))
    if ranked and _is_sparse(values, counts, step):
        numbers = _ranks(values, numbers)
        steps = np.diff(values, prepend=np.uint64(0))
        head = bytes((_TABLE,)) + head + number(values.size) + packed(steps)
        values, step = np.arange(values.size, dtype=np.uint64), 1
    least, most = int(values[0]), (int(values[-1]) - int(values[0])) // step
    low_bits = max(0, most.bit_length() - LEVEL_BITS)
    head += number(least) + number(step) + number(most >> low_bits) + number(low_bits)
    numbers = numbers - np.uint64(least)
    if step > 1:
        numbers //= np.uint64(step)
    if low_bits:
        head += packed((numbers & np.uint64((1 << low_bits) - 1)).astype(_low_type(low_bits)))
        numbers >>= np.uint64(low_bits)
    return Levels(numbers.astype(np.int32), most >> low_bits, head)


@dataclass(frozen=True)
class Mapping:
    """The way from levels to voxels of a type, read from a payload.

    Attributes:
        dtype: of the voxels.
        slope: of which the voxels are multiples, or None.
        table: distinct values in order, or None.
        least, step, most: numbers of levels: ``least + level * step``; the largest level.
        low: low bits of all levels, flat, or None.
        low_bits: their number.
    """

    dtype: np.dtype
    slope: float | None
    table: np.ndarray | None
    least: int
    step: int
    most: int
    low: np.ndarray | None
    low_bits: int

    @staticmethod
    def read(reader: Reader, count: int, dtype: np.dtype) -> Mapping:
        """Read the fields of `Levels` of ``count`` voxels.

        Raises:
            DamagedError: the fields do not fit each other or the type.
        """
        kind = reader.take(1)[0]
        has_table = kind == _TABLE
        if has_table:
            kind = reader.take(1)[0]
        if kind != _PLAIN and (kind != _MULTIPLES or dtype.kind != "f"):
            raise DamagedError(f"lossless data has an unknown map {kind} of {dtype} voxels")
        slope = _SLOPE.unpack(reader.take(_SLOPE.size))[0] if kind == _MULTIPLES else None
        table = None
        if has_table:
            size = reader.number()
            if not 1 <= size <= _MOST_RANKS:
                raise DamagedError(f"lossless data has a table of {size} values")
            table = np.cumsum(reader.packed(size, "<u8"), dtype=np.uint64)
        least, step, most, low_bits = (reader.number() for _ in range(4))
        if most >> LEVEL_BITS or low_bits > 64 - LEVEL_BITS:
            raise DamagedError(f"lossless data has levels up to {most} and {low_bits} low bits")
        low = reader.packed(count, _low_type(low_bits)) if low_bits else None
        found = Mapping(dtype, slope, table, least, step, most, low, low_bits)
        if found._largest >= 1 << (64 if slope is not None else 8 * dtype.itemsize):
            raise DamagedError(f"lossless data has numbers beyond those of {dtype}")
        return found

    @property
    def _largest(self) -> int:
        if self.table is None:
            # The low bits of the largest level are not known here.
            return self.least + (self.most << self.low_bits) * self.step
        top = self.least + (((self.most + 1) << self.low_bits) - 1) * self.step
        if top >= self.table.size:
            raise DamagedError(f"lossless data asks for entry {top} of {self.table.size}")
        return int(self.table.max())

    def voxels(self, high: np.ndarray) -> np.ndarray:
        """Return the voxels of levels (int32), in their shape."""
        numbers = high.astype(np.uint64)
        if self.low is not None:
            numbers <<= np.uint64(self.low_bits)
            numbers |= self.low.reshape(high.shape).astype(np.uint64)
        numbers = numbers * np.uint64(self.step) + np.uint64(self.least)
        if self.table is not None:
            numbers = self.table[numbers]
        if self.slope is not None:
            return products(in_order(numbers, np.dtype(np.int64)), self.slope, self.dtype)
        return in_order(numbers, self.dtype)


def multiples(values: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Return (slope, int64 factors) if all floats are multiples of one number, bit by bit."""
    if not np.isfinite(values).all():
        return None
    slope = 1.0
    if not (values == np.rint(values)).all():
        sizes = np.unique(np.abs(values))
        slope = _slope(sizes) if sizes.size <= _MOST_RANKS else 0.0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        factors = np.rint(values.astype(np.float64) / slope)
        if not (np.abs(factors) < 2**53).all():
            return None
        factors = factors.astype(np.int64)
        same = products(factors, slope, values.dtype).tobytes() == values.tobytes()
    return (slope, factors) if same else None


def _slope(sizes: np.ndarray) -> float:
    """Return a number of which sorted sizes seem to be multiples, or 0 if there is none.

    The least difference is a first estimate. From the smallest size to the largest, each one
    narrows the interval that the number lies in: rounding moved it by half a step at most.
    """
    half_steps = np.spacing(sizes).astype(np.float64) / 2
    slope = float(np.diff(sizes.astype(np.float64)).min()) if sizes.size > 1 else 0.0
    low, high = 0.0, math.inf
    for size, half_step in zip(sizes.tolist(), half_steps.tolist(), strict=True):
        if not slope > 0 or size > slope * _MOST_FACTOR:
            return 0.0
        if size > 0:
            factor = max(1, round(size / slope))
            low = max(low, (size - half_step) / factor)
            high = min(high, (size + half_step) / factor)
            slope = (low + high) / 2
    return slope


def products(factors: np.ndarray, slope: float, dtype: np.dtype) -> np.ndarray:
    """Return the floats of `multiples`."""
    with np.errstate(over="ignore"):
        return (factors.astype(np.float64) * slope).astype(dtype)


def ordered(values: np.ndarray) -> np.ndarray:
    """Map values to uint64 numbers in the same order; floats by their bits."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind in "bu":
        return values.astype(np.uint64)
    bits, sign = (
        np.ascontiguousarray(values).view(f"u{size}").astype(np.uint64),
        np.uint64(1 << 8 * size - 1),
    )
    if kind == "i":
        return bits ^ sign
    return np.where(bits & sign, ~bits & np.uint64((1 << 8 * size) - 1), bits | sign)


def in_order(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the values of `ordered` numbers in a type."""
    kind, size = dtype.kind, dtype.itemsize
    if kind in "bu":
        return numbers.astype(dtype)
    sign = np.uint64(1 << 8 * size - 1)
    unsigned = np.dtype(f"u{size}")
    if kind == "i":
        return (numbers ^ sign).astype(unsigned).view(dtype)
    bits = np.where(numbers & sign, numbers ^ sign, ~numbers)
    return bits.astype(unsigned).view(dtype)


def _distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted distinct numbers and how often each occurs."""
    least = numbers.min()
    if int(numbers.max() - least) >= 1 << LEVEL_BITS:
        return np.unique(numbers, return_counts=True)
    counts = np.bincount((numbers - least).astype(np.int64).reshape(-1))
    found = np.flatnonzero(counts)
    return found.astype(np.uint64) + least, counts[found]


def _is_sparse(values: np.ndarray, counts: np.ndarray, step: int) -> bool:
    total = np.cumsum(counts)
    if values.size > min(_MOST_RANKS, total[-1] // _VOXELS_PER_ENTRY):
        return False
    first, last = (int(np.searchsorted(total, share * total[-1])) for share in _MIDDLE)
    span = (int(values[last]) - int(values[first])) // step + 1
    return last - first + 1 < _SPARSE * span


def _ranks(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    span = int(values[-1]) - int(values[0]) + 1
    if span > 1 << LEVEL_BITS:
        return np.searchsorted(values, numbers).astype(np.uint64)
    ranks = np.zeros(span, np.uint64)
    ranks[values - values[0]] = np.arange(values.size, dtype=np.uint64)
    return ranks[numbers - values[0]]


def _low_type(low_bits: int) -> str:
    return f"<u{next(size for size in (1, 2, 4, 8) if 8 * size >= low_bits)}"
