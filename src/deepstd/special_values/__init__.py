"""Special values, kept exactly: NaN, infinities, padding and backgrounds.

voxels ─ find ─┬▶ filled: float, the special voxels replaced by a smooth continuation
               └▶ Specials ─ to_bytes ─▶ SPCL chunk ─ from_bytes ─ restore ─▶ exact again
"""

from deepstd.special_values.detect import (
    Background,
    Value,
    backgrounds_of,
    find,
    standing_apart,
    without,
)
from deepstd.special_values.payload import Specials, payloads, unpacked

__all__ = [
    "Background",
    "Specials",
    "Value",
    "backgrounds_of",
    "find",
    "payloads",
    "standing_apart",
    "unpacked",
    "without",
]
