"""What becomes of memory that is freed: kept for the next tile, where the C library allows it.

glibc gives blocks above a threshold back to the system as soon as they are freed, and the system
clears them anew for the next ones: a sixth of the time of decoding a large CT went there.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

# Options of mallopt(3), and values above all that a tile needs.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 1 << 30, (1 << 31) - 1


def keep_freed_memory() -> None:
    """Keep what this process frees; for commands, which end soon. Nothing happens but on glibc."""
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Where the first is refused, the second would make the threshold the smallest.
        if mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT):
            mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
