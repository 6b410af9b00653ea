"""Slope and intercept of a NIfTI header, read without nibabel, which takes long to load.

raw header ─ scl_slope, scl_inter ─▶ (slope, intercept)
"""

from __future__ import annotations

import math
import struct

from deepstd.errors import InputError
from deepstd.volume import SourceHeader

# Bytes of a header, the format of its two numbers, and where they begin.
_FIELDS = {"nifti1": (348, "ff", 112), "nifti2": (540, "dd", 176)}


def scale_of(source: SourceHeader) -> tuple[float, float]:
    """Return slope and intercept of a raw header; 1 and 0 where it states none.

    A slope of 0, or one that is not finite, states none (nifti1.h), and its intercept says nothing.
    An intercept that is not finite is 0, as nifti_clib reads it.

    Raises:
        InputError: the header is cut short.
    """
    size, form, offset = _FIELDS[source.format]
    raw = source.raw
    if len(raw) < size:
        raise InputError(f"not a whole {source.format} header: it has {len(raw)} of {size} bytes")
    order = "<" if raw[:4] == size.to_bytes(4, "little") else ">"
    slope, intercept = struct.unpack_from(order + form, raw, offset)
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    return slope, intercept if math.isfinite(intercept) else 0.0
