"""Bytes of one chunk of an array, without zarr-python.

    chunk ─ planes of the fill value off ─▶ box of real values ─ axes as in a scan ─┬ exact coder
                                                                                    ├ steps ─ exact
    kind (1) · [first and length of each axis] · coded values · CRC-32 (4) ◀────────┴ .dstd file

Zarr fills chunks at the edge of an array up with the fill value, and does not say where. Planes of
nothing else are left out on all sides, so they take no bytes and no figure counts them.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from math import prod

import numpy as np

from deepstd import lossless
from deepstd.codec.shared import codec_for, codec_named
from deepstd.codec.uniform import UniformQuantiser
from deepstd.codec.without_bundle import decode as decode_without_bundle
from deepstd.codec.without_bundle import is_without_bundle
from deepstd.coding.bytes import Cursor, encode_varint
from deepstd.container import parse
from deepstd.errors import DamagedError, RateError
from deepstd.inspection import AUTO
from deepstd.rate.target import Target
from deepstd.threads import limited_to
from deepstd.volume import Volume
from deepstd.zarr.fidelity import Fidelity

# More effort took twice the time for 0.02 dB in chunks of 64³ voxels of a CT.
_EFFORT = "fast"
_NAME = "the chunk"
_CHECKSUM_BYTES = 4
_PADDED = 1 << 7  # of the first byte: a box follows
_LEAST_AXES, _SPACE = 2, 3  # of a scan


class Kind(IntEnum):
    """Ways to code a chunk."""

    EMPTY = 0
    EXACT = 1
    STEPS = 2
    SCAN = 3


def encode(chunk: np.ndarray, fill: np.ndarray, fidelity: Fidelity) -> bytes:
    """Encode a chunk; equal chunks give equal bytes in every byte order.

    Args:
        chunk: values, of any number of axes: booleans, integers or floats of at most 64 bits.
        fill: fill value of the array, of no axes and the same type.
        fidelity: what must come back.

    Raises:
        BundleError: the bundle of a ratio is missing or damaged.
    """
    with limited_to(1):  # zarr-python encodes several chunks at a time
        native = chunk.dtype.newbyteorder("=")
        values = np.asarray(chunk, dtype=native)
        box = _box(values, np.asarray(fill, dtype=native))
        flags, sides, kind, payload = 0, b"", Kind.EMPTY, b""
        if box is not None:
            if values[box].size < values.size:
                numbers = (n for part in box for n in (part.start, part.stop - part.start))
                flags, sides = _PADDED, b"".join(map(encode_varint, numbers))
            around = 1 + len(sides) + _CHECKSUM_BYTES
            kind, payload = _coded(_as_scan(values[box]), fidelity, around)
        body = bytes([kind | flags]) + sides + payload
        return body + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little")


def decode(data: bytes, shape: tuple[int, ...], fill: np.ndarray) -> np.ndarray:
    """Decode a chunk.

    Args:
        data: result of `encode`.
        shape: of the chunk, padding included.
        fill: fill value of the array, of no axes; its type is that of the result.

    Raises:
        DamagedError: the bytes are not a chunk of this shape and type.
        BundleError: the bundle that a chunk of a given ratio names is missing.
    """
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if not body or zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") != checksum:
        raise DamagedError(
            f"a chunk of {len(data)} bytes is damaged: its checksum does not fit. Copy the array "
            "again, or read the parts without it"
        )
    cursor = Cursor(body, _NAME, "its values")
    first = cursor.byte()
    kind, native = first & ~_PADDED, fill.dtype.newbyteorder("=")
    if kind not in tuple(Kind):
        raise DamagedError(f"a chunk is coded in way {kind}, which this release does not know")
    box = tuple(slice(0, size) for size in shape)
    if first & _PADDED:
        box = _read_box(cursor, shape)
    chunk = np.empty(shape, fill.dtype)
    inside = chunk[box]
    if kind == Kind.EMPTY or inside.size < chunk.size:
        chunk[...] = fill
    if kind == Kind.EMPTY:
        cursor.finish()
        return chunk
    with limited_to(1):
        scan = _decoded(kind, cursor, _scan_shape(inside.shape), native)
    inside[...] = scan.T.reshape(inside.shape)
    return chunk


def _box(values: np.ndarray, fill: np.ndarray) -> tuple[slice, ...] | None:
    """Return the part outside of which all is fill, bit for bit; None where nothing is left."""
    bits = np.dtype(f"u{values.dtype.itemsize}")
    differs = np.atleast_1d(values).view(bits) != fill.reshape(1).view(bits)[0]
    parts = []
    for axis in range(values.ndim):
        others = tuple(other for other in range(values.ndim) if other != axis)
        (places,) = differs.any(axis=others).nonzero()
        if not len(places):
            return None
        parts.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(parts) if differs.any() else None


def _read_box(cursor: Cursor, shape: tuple[int, ...]) -> tuple[slice, ...]:
    parts = []
    for size in shape:
        first, count = cursor.varint(size), cursor.varint(size)
        if not 0 < count <= size - first:
            raise cursor.error(f"{count} values from {first} on do not fit an axis of {size}")
        parts.append(slice(first, first + count))
    return tuple(parts)


def _scan_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a scan, first axis fastest: (x, y[, z[, frames]]).

    Axes of length one are dropped. All axes before the last three become one axis of frames.
    """
    sizes = [size for size in shape if size > 1]
    sizes = [1] * (_LEAST_AXES - len(sizes)) + sizes
    before, space = sizes[:-_SPACE], sizes[-_SPACE:]
    return (*space[::-1], *([prod(before)] if before else []))


def _as_scan(values: np.ndarray) -> np.ndarray:
    return values.reshape(_scan_shape(values.shape)[::-1]).T


def _coded(scan: np.ndarray, fidelity: Fidelity, around: int) -> tuple[Kind, bytes]:
    """Encode a scan as asked for; return how, and the bytes.

    Args:
        around: bytes of the chunk around those of the scan.
    """
    if fidelity.ratio is not None:
        found = _at_ratio(scan, fidelity.ratio, fidelity.model, around)
        if found is not None:
            return Kind.SCAN, found
    if fidelity.max_error is not None:
        quantiser = UniformQuantiser.within(scan, fidelity.max_error)
        if quantiser is not None:
            coded = lossless.encode(quantiser.codes(scan))
            return Kind.STEPS, quantiser.pack() + coded
    return Kind.EXACT, lossless.encode(scan)


def _at_ratio(scan: np.ndarray, ratio: float, model: str, around: int) -> bytes | None:
    """Return a .dstd file of a ratio; of half of it, and so on, where the scan is too small.

    A few dozen bytes describe even a chunk of a few voxels. None means that no file is smaller than
    the voxels.
    """
    codec = codec_named(model, "cpu")
    while True:
        target = Target(max_bytes=max(1, int(scan.nbytes / ratio) - around))
        try:
            return codec.encode(Volume(scan), target, effort=_EFFORT).data
        except RateError:
            if ratio <= 1:
                return None
            ratio /= 2


def _decoded(kind: int, cursor: Cursor, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if kind == Kind.EXACT:
        return lossless.decode(cursor.take(cursor.remaining), shape, dtype, _NAME)
    if kind == Kind.STEPS:
        if dtype.kind == "b":
            raise cursor.error("booleans have no steps")
        quantiser = UniformQuantiser.read(cursor, dtype)
        codes = cursor.take(cursor.remaining)
        return quantiser.voxels(lossless.decode(codes, shape, quantiser.type, _NAME), dtype)
    container = parse(cursor.take(cursor.remaining), _NAME)
    head = container.head
    if head.shape != shape or head.dtype.newbyteorder("=") != dtype:
        raise cursor.error(
            f"it holds {head.shape} values of type {head.dtype}, expected {shape} of type {dtype}"
        )
    if is_without_bundle(container):
        return decode_without_bundle(container).voxels
    codec = codec_for(container, AUTO, "cpu")
    return codec.decode(container).voxels
