"""Slope and intercept of a NIfTI header, read without nibabel, which takes long to load.

raw header ─ scl_slope, scl_inter ─▶ (slope, intercept)
"""

from __future__ import annotations

import math
import struct

from deepstd.errors import InputError
from deepstd.volume import SourceHeader

# Bytes of a header, struct format of slope and intercept, and their offset.
_FIELDS = {"nifti1": (348, "ff", 112), "nifti2": (540, "dd", 176)}


def scale_of(source: SourceHeader) -> tuple[float, float]:
    """Return slope and intercept of a raw header; 1 and 0 where the header states none.

    A slope that is 0 or not finite means no scale, whatever the intercept (nifti1.h). An intercept
    that is not finite is 0, as in nifti_clib.

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
