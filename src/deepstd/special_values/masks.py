"""Compression of a bool frame.

    mask ─ fold axes that are constant or mirrored ─┬ where lines change ─┬ deflate ─┐
                                                    ├ bits, where small ──┘          ├▶ the shortest
                                                    └ contexts (contexts.py) ────────┘
    packed mask = folds (1) · method (1) · coded bytes

The edge of a scanner's field of view is a circle: four mirrored arcs, whose second differences are
mostly zero. It takes 70 to 100 bytes at 512 x 512 pixels; compressed bits take 850. The edge of a
brain or body mask is ragged: there, contexts take a third to two thirds of the other methods.
"""

from __future__ import annotations

import lzma
import math
import zlib

import numpy as np

from deepstd.errors import DamagedError
from deepstd.special_values.contexts import decode_contexts, encode_contexts

_WHOLE, _CONSTANT, _MIRRORED = range(3)
_FOLD_BITS = 2
_STORED, _DEFLATED, _LZMA = range(3)
_COMPRESSION = 3
_LINES = 4
_CONTEXTS = 8
_METHODS = (*(kind | how for kind in (0, _LINES) for how in (_STORED, _DEFLATED, _LZMA)), _CONTEXTS)
# Voxels. For larger masks contexts always beat plain bits, which LZMA packs slowly.
_MOST_PLAIN = 1 << 20
_RAW_DEFLATE = -15
_LZMA_FILTERS = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 22, "lc": 0, "lp": 0, "pb": 0}]
_MAX_SEGMENTS = 1 << 14
_MAX_VARINT_BYTES = 5


def pack_mask(mask: np.ndarray) -> bytes:
    """Pack a bool array of at most 4 axes by the shortest method; `unpack_mask` is the inverse."""
    folds = [_fold(mask, axis) for axis in range(mask.ndim)]
    for axis, fold in enumerate(folds):
        kept = _kept(fold, mask.shape[axis])
        mask = np.moveaxis(np.moveaxis(mask, axis, 0)[:kept], 0, axis)
    axes = _axes(mask.shape)
    lines = mask.transpose(axes).reshape(-1, mask.shape[axes[-1]])
    ways = [(_CONTEXTS, encode_contexts(mask))]
    plain, kind = _encode_lines(lines), _LINES
    if plain is None and mask.size <= _MOST_PLAIN:
        plain, kind = np.packbits(lines).tobytes(), 0
    if plain is not None:
        method, packed = compress(plain)
        ways.insert(0, (method | kind, packed))
    code = sum(fold << _FOLD_BITS * axis for axis, fold in enumerate(folds))
    method, packed = min(ways, key=lambda way: len(way[1]))
    return bytes([code, method]) + packed


def unpack_mask(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Unpack the bytes of `pack_mask` to a bool mask of a shape.

    Raises:
        DamagedError: the bytes do not describe such a mask.
    """
    if len(data) < 2 or data[0] >> _FOLD_BITS * len(shape) or data[1] not in _METHODS:
        raise DamagedError("a mask of an unknown kind")
    folds = [data[0] >> _FOLD_BITS * axis & 3 for axis in range(len(shape))]
    folded = [_kept(fold, length) for fold, length in zip(folds, shape, strict=True)]
    axes = _axes(tuple(folded))
    size, length = math.prod(folded), folded[axes[-1]]
    method, packed = data[1] & _COMPRESSION, data[2:]
    if data[1] == _CONTEXTS:
        mask = decode_contexts(packed, folded)
    else:
        if data[1] & _LINES:
            plain = decompress(method, packed, _most_bytes(size))
            lines = _decode_lines(plain, size // length, length)
        else:
            plain = decompress(method, packed, (size + 7) // 8, exact=True)
            lines = np.unpackbits(np.frombuffer(plain, np.uint8), count=size).view(bool)
        mask = lines.reshape([folded[axis] for axis in axes]).transpose(np.argsort(axes))
    for axis, (fold, length) in enumerate(zip(folds, shape, strict=True)):
        if fold == _CONSTANT:
            mask = np.repeat(mask, length, axis)
        elif fold == _MIRRORED:
            mirrored = np.flip(np.take(mask, range(length // 2), axis), axis)
            mask = np.concatenate([mask, mirrored], axis)
    return mask


def _fold(mask: np.ndarray, axis: int) -> int:
    planes = np.moveaxis(mask, axis, 0)
    if (planes == planes[:1]).all():
        return _CONSTANT
    return _MIRRORED if (planes == planes[::-1]).all() else _WHOLE


def _kept(fold: int, length: int) -> int:
    if fold > _MIRRORED:
        raise DamagedError("a mask of an unknown kind")
    return (length, 1, (length + 1) // 2)[fold]


def _axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order of axes for lines: the shortest axis outermost, lines along the longest."""
    return tuple(sorted(range(len(shape)), key=lambda axis: shape[axis]))


def _most_bytes(size: int) -> int:
    return 64 * _MAX_SEGMENTS + size // 8


def _encode_lines(lines: np.ndarray) -> bytes | None:
    """Code the positions where lines change, as second differences over runs of similar lines.

    All lines of a run have the same first value and the same number of changes. Returns None where
    a mask has too many runs or changes.

    numbers of a run = lines · 2 changes + first value · gaps in its first line · differences
    """
    changed = lines[:, 1:] != lines[:, :-1]
    counts = np.count_nonzero(changed, axis=1)
    keys = 2 * counts + lines[:, 0]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    if len(starts) > _MAX_SEGMENTS or counts.sum() > lines.size // 16:
        return None
    positions = np.nonzero(changed)[1]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    numbers = []
    for start, end in zip(starts, np.append(starts[1:], len(lines)), strict=True):
        run = positions[offsets[start] : offsets[end]].reshape(end - start, counts[start])
        slopes = np.diff(run, axis=0, prepend=run[:1])[1:]
        bends = np.diff(slopes, axis=0, prepend=np.zeros_like(run[:1]))
        gaps = np.diff(run[0], prepend=0)
        numbers += [[end - start, keys[start]], gaps, (bends << 1 ^ bends >> 63).reshape(-1)]
    plain = _to_varints(np.concatenate(numbers))
    return plain if len(plain) <= _most_bytes(lines.size) else None


def _decode_lines(plain: bytes, count: int, length: int) -> np.ndarray:
    numbers = _from_varints(plain)
    runs: list[tuple[int, int, np.ndarray]] = []
    line = at = 0
    while line < count:
        height, key = numbers[at : at + 2].tolist() if at + 2 <= len(numbers) else (0, 0)
        at, end = at + 2, at + 2 + height * (key >> 1)
        if not 1 <= height <= count - line or end > len(numbers):
            raise DamagedError(f"the lines of a mask end after {line} of {count}")
        run = numbers[at:end].reshape(height, key >> 1)
        run[1:] = np.cumsum(np.cumsum(run[1:] >> 1 ^ -(run[1:] & 1), axis=0), axis=0)
        run[0] = np.cumsum(run[0])
        run[1:] += run[0]
        if ((run < 0) | (run >= length - 1)).any() or (np.diff(run, axis=1) <= 0).any():
            raise DamagedError("a mask changes outside the frame")
        runs.append((line, key & 1, run))
        line, at = line + height, end
    if at != len(numbers):
        raise DamagedError("too many lines in a mask")
    changed = np.zeros((count, length), np.uint8)
    for line, first, run in runs:
        changed[line : line + len(run), 0] = first
        changed[line + np.arange(len(run))[:, None], run + 1] = 1
    return np.bitwise_xor.accumulate(changed, axis=1).view(bool)


def _to_varints(numbers: np.ndarray) -> bytes:
    groups = numbers[:, None] >> 7 * np.arange(_MAX_VARINT_BYTES)
    needed = groups > 0
    needed[:, 0] = True
    more = np.roll(needed, -1, axis=1) << 7
    more[:, -1] = 0
    return (groups & 127 | more)[needed].astype(np.uint8).tobytes()


def _from_varints(data: bytes) -> np.ndarray:
    found = np.frombuffer(data, np.uint8).astype(np.int64)
    ends = np.flatnonzero(found < 128)
    starts = np.concatenate([[0], ends + 1])[: len(ends)]
    if not len(ends) or ends[-1] != len(found) - 1 or (ends - starts).max() >= _MAX_VARINT_BYTES:
        raise DamagedError("the numbers of a mask are cut off")
    positions = np.arange(len(found)) - np.repeat(starts, ends - starts + 1)
    return np.add.reduceat((found & 127) << 7 * positions, starts)


def compress(plain: bytes) -> tuple[int, bytes]:
    """Pack bytes by the shortest of stored, deflated and LZMA; return the method and the bytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE)
    ways = (
        plain,
        deflate.compress(plain) + deflate.flush(),
        lzma.compress(plain, lzma.FORMAT_RAW, filters=_LZMA_FILTERS),
    )
    return min(enumerate(ways), key=lambda way: len(way[1]))


def decompress(method: int, data: bytes, most: int, exact: bool = False) -> bytes:
    """Unpack the bytes of `compress`.

    Args:
        method: number of the method.
        data: packed bytes.
        most: limit of the unpacked bytes; no more than one byte beyond it is ever unpacked.
        exact: the unpacked bytes must number exactly ``most``.

    Raises:
        DamagedError: the number of bytes is wrong, or they cannot be unpacked.
    """
    try:
        if method == _DEFLATED:
            inflate = zlib.decompressobj(_RAW_DEFLATE)
            plain = inflate.decompress(data, most + 1)
            whole = inflate.eof and not inflate.unused_data
        elif method == _LZMA:
            unpack = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
            plain = unpack.decompress(data, most + 1)
            whole = unpack.eof and not unpack.unused_data
        else:
            plain, whole = data, method == _STORED
    except (zlib.error, lzma.LZMAError) as error:
        raise DamagedError(f"cannot be unpacked ({error})") from error
    if not whole or len(plain) > most or (exact and len(plain) != most):
        raise DamagedError(f"expected {most} bytes unpacked, found {len(plain)}")
    return plain
