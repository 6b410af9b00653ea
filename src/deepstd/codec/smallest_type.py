"""Smallest type that holds every value of a scan stored in a larger type.

voxels ─ slabs: whole? finite? exact as float32? smallest, largest ─▶ type

Converters store whole numbers as float64, float32 or int32. The compression ratio of such a scan
counts bytes that carry no information.
"""

from __future__ import annotations

import numpy as np

from deepstd.quality import slabs

# Bytes of the types that scanners write; for these no smaller type is reported.
_USUAL_BYTES = 2
_INTEGERS = tuple(np.dtype(code) for code in ("u1", "i1", "u2", "i2", "u4", "i4"))
_SINGLE = np.dtype(np.float32)


def smallest_type(voxels: np.ndarray) -> np.dtype | None:
    """Return the smallest integer or float type that holds every value exactly.

    A negative zero counts as zero. Only float types hold NaN and infinities.

    Args:
        voxels: stored values of any shape.

    Returns:
        a type of fewer bytes than the stored type; None if there is none, or the stored type has
        at most 2 bytes.
    """
    stored = voxels.dtype
    if stored.itemsize <= _USUAL_BYTES:
        return None
    whole, single = True, stored.itemsize > _SINGLE.itemsize and stored.kind == "f"
    low, high = np.inf, -np.inf
    for part in slabs(voxels):
        slab = voxels[part]
        if stored.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):  # signalling NaN is invalid
                single = single and np.array_equal(slab, slab.astype(_SINGLE), equal_nan=True)
                # Infinities are not whole here, and NaN is unequal to itself.
                whole = whole and bool((np.isfinite(slab) & (np.rint(slab) == slab)).all())
        if not (whole or single):
            return None
        if whole:
            low, high = min(low, int(slab.min())), max(high, int(slab.max()))
    if whole:
        for dtype in _INTEGERS:
            limits = np.iinfo(dtype)
            if limits.min <= low and high <= limits.max and dtype.itemsize < stored.itemsize:
                return dtype
    return _SINGLE if single else None
