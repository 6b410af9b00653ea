"""Slabs through the native engine, one thread each.

stack ─ Slab records ─ lossless_run ─▶ bytes of each slab | levels
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepstd.engine.library import OUT_OF_MEMORY, address
from deepstd.threads import thread_count


class SlabRecord(ctypes.Structure):
    """A slab as the engine reads it (``struct slab``)."""

    _fields_ = [
        ("levels", ctypes.c_void_p),
        *[(name, ctypes.c_int64) for name in ("slices", "rows", "columns", "period")],
        *[(name, ctypes.c_int32) for name in ("most", "result")],
        ("bytes", ctypes.c_void_p),
        *[(name, ctypes.c_uint64) for name in ("size", "room")],
    ]


def encode_slabs(library: Any, slabs: Sequence[np.ndarray], period: int, most: int) -> list[bytes]:
    """Return the bytes of slabs (slices, rows, columns), int32, contiguous."""
    records = _records(slabs, period, most)
    try:
        _run(library, records, decoding=False)
        return [ctypes.string_at(r.bytes, r.size) for r in records]
    finally:
        library.lossless_free(ctypes.addressof(records), len(records))


def decode_slabs(
    library: Any, streams: Sequence[bytes], slabs: Sequence[np.ndarray], period: int, most: int
) -> None:
    """Fill slabs (slices, rows, columns), int32, contiguous, with what was encoded."""
    records = _records(slabs, period, most)
    held = [np.frombuffer(stream + b"\0", np.uint8) for stream in streams]
    for record, stream, buffer in zip(records, streams, held, strict=True):
        record.bytes, record.size = address(buffer), len(stream)
    _run(library, records, decoding=True)


def _records(slabs: Sequence[np.ndarray], period: int, most: int) -> Any:
    return (SlabRecord * len(slabs))(
        *(SlabRecord(address(s), *s.shape, period, most) for s in slabs)
    )


def _run(library: Any, records: Any, *, decoding: bool) -> None:
    library.lossless_run(ctypes.addressof(records), len(records), decoding, thread_count())
    if any(record.result == OUT_OF_MEMORY for record in records):
        raise MemoryError
