"""Voxels that are no measurement, kept exactly: NaN, infinities and padding.

voxels ─ split ─┬▶ filled: float, the special voxels replaced by a smooth continuation
                └▶ Specials ─ to_bytes ─▶ SPCL chunk ─ from_bytes ─ restore ─▶ exact again
"""

from deepstd.specials.detect import split
from deepstd.specials.payload import Specials

__all__ = ["Specials", "split"]
