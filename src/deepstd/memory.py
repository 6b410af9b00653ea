"""Memory: how much is free, and what becomes of memory that is freed.

    /proc/meminfo, limits of control groups ─▶ free_memory
    keep_freed_memory ─▶ kept for the next tile, where the C library allows it

glibc gives blocks above a threshold back to the system as soon as they are freed, and the system
clears them anew for the next ones: a sixth of the time of decoding a large CT went there.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Options of mallopt(3), and values above all that a tile needs.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 1 << 30, (1 << 31) - 1
# Of control groups 2 and 1: limit, use, and what of the use only caches files.
_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def keep_freed_memory() -> None:
    """Keep what this process frees; for commands, which end soon. Nothing happens but on glibc."""
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Where the first is refused, the second would make the threshold the smallest.
        if mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT):
            mallopt(_TRIM_THRESHOLD, _MOST_KEPT)


def free_memory(root: Path = Path("/")) -> int | None:
    """Return bytes of memory that this process may still take; None where no system tells.

    Memory that only caches files counts as free, and so does swap space. A container or job
    (control groups 1 and 2) may have less than the machine.

    Args:
        root: folder that holds ``proc`` and ``sys``.
    """
    try:
        told = _table(root / "proc/meminfo", ":")
        swap = 1024 * told["SwapFree"]
        free: list[float] = [1024 * told["MemAvailable"] + swap]
    except (OSError, ValueError, KeyError):
        return None
    for folder in _groups(root):
        for limit, used, cache in _LIMITS:
            with suppress(OSError, ValueError, KeyError):
                held = _number(folder / used) - _table(folder / "memory.stat", " ")[cache]
                free.append(_number(folder / limit) - held + min(swap, _swap_left(folder)))
    return int(min(free))


def _swap_left(folder: Path) -> float:
    """Return bytes of swap space that a control group leaves; no limit where it states none."""
    with suppress(OSError, ValueError):
        return _number(folder / "memory.swap.max") - _number(folder / "memory.swap.current")
    return math.inf


def _groups(root: Path) -> Iterator[Path]:
    """Yield folders of the control groups of this process, the outer ones too."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers in ("", "memory"):
                mount = root / "sys/fs/cgroup" / controllers
                group = mount / place.lstrip("/")
                yield from (p for p in (group, *group.parents) if p.is_relative_to(mount))


def _number(path: Path) -> float:
    """Return the number in a file, infinity where it says "max"."""
    text = path.read_text(encoding="ascii").strip()
    return math.inf if text == "max" else int(text)


def _table(path: Path, separator: str) -> dict[str, int]:
    """Return the numbers in a file of a name and a number a line."""
    lines = path.read_text(encoding="ascii").splitlines()
    split = (line.split(separator, 1) for line in lines)
    return {name: int(rest.split()[0]) for name, rest in split}
