"""Free memory of the machine, and reuse of freed memory.

    /proc/meminfo, limits of control groups ─▶ free_memory
    keep_freed_memory ─▶ kept for the next tile, where the C library allows it

glibc returns freed blocks above a threshold to the system, which clears them for the next
allocation. Decoding a large CT spent a sixth of its time there.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Options of mallopt(3), and thresholds in bytes above any need of a tile.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 1 << 30, (1 << 31) - 1
# Files of control groups 2 and 1: limit, use, and the entry of reclaimable file caches.
_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def keep_freed_memory() -> None:
    """Keep freed memory in this process, for commands, which end soon. Only glibc supports it."""
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Alone, the second option would fix the mmap threshold at its minimum.
        if mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT):
            mallopt(_TRIM_THRESHOLD, _MOST_KEPT)


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the memory that this process may still allocate, in bytes; None where unknown.

    File caches and swap space count as free. The limits of a container or job (control groups 1 and
    2) apply.

    Args:
        root: folder of ``proc`` and ``sys``.
    """
    try:
        reported = _table(root / "proc/meminfo", ":")
        swap = 1024 * reported["SwapFree"]
        free: list[float] = [1024 * reported["MemAvailable"] + swap]
    except (OSError, ValueError, KeyError):
        return None
    for folder in _groups(root):
        for limit, used, cache in _LIMITS:
            with suppress(OSError, ValueError, KeyError):
                held = _number(folder / used) - _table(folder / "memory.stat", " ")[cache]
                free.append(_number(folder / limit) - held + min(swap, _swap_left(folder)))
    return int(min(free))


def _swap_left(folder: Path) -> float:
    """Return the swap space left by a control group, in bytes; infinity without a limit."""
    with suppress(OSError, ValueError):
        return _number(folder / "memory.swap.max") - _number(folder / "memory.swap.current")
    return math.inf


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of their parents."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers in ("", "memory"):
                mount = root / "sys/fs/cgroup" / controllers
                group = mount / place.lstrip("/")
                yield from (p for p in (group, *group.parents) if p.is_relative_to(mount))


def _number(path: Path) -> float:
    """Return the number in a file; infinity for "max"."""
    text = path.read_text(encoding="ascii").strip()
    return math.inf if text == "max" else int(text)


def _table(path: Path, separator: str) -> dict[str, int]:
    """Return the numbers by name in a file of one name and number a line."""
    lines = path.read_text(encoding="ascii").splitlines()
    split = (line.split(separator, 1) for line in lines)
    return {name: int(rest.split()[0]) for name, rest in split}
