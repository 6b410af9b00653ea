"""Free memory of the machine, and reuse of freed memory.

    /proc/meminfo, limits of control groups ─▶ free_memory
    keep_freed_memory ─▶ freed blocks stay in the process (glibc only)

glibc returns blocks above a threshold to the system as soon as they are freed. The system clears
the next blocks anew, which took a sixth of the time of decoding a large CT.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Options of mallopt(3), and bytes above all that a tile needs.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 1 << 30, (1 << 31) - 1
# Files of control groups 2 and 1: limit, use, and the part of the use that caches files.
_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def keep_freed_memory() -> None:
    """Keep freed memory in this process, for commands, which end soon. Only glibc can do so."""
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Where the first is refused, the second would make the threshold the smallest.
        if mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT):
            mallopt(_TRIM_THRESHOLD, _MOST_KEPT)


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that this process may still take; None where they are unknown.

    File caches and swap space count as free. A container or job (control groups 1 and 2) may have
    less memory than the machine.

    Args:
        root: folder that contains ``proc`` and ``sys``.
    """
    try:
        kibibytes = _table(root / "proc/meminfo", ":")
        swap = 1024 * kibibytes["SwapFree"]
        free: list[float] = [1024 * kibibytes["MemAvailable"] + swap]
    except (OSError, ValueError, KeyError):
        return None
    for folder in _groups(root):
        for limit, used, cache in _LIMITS:
            with suppress(OSError, ValueError, KeyError):
                held = _number(folder / used) - _table(folder / "memory.stat", " ")[cache]
                free.append(_number(folder / limit) - held + min(swap, _swap_left(folder)))
    return int(min(free))


def _swap_left(folder: Path) -> float:
    """Return the bytes of swap space left to a control group; infinity without a limit."""
    with suppress(OSError, ValueError):
        return _number(folder / "memory.swap.max") - _number(folder / "memory.swap.current")
    return math.inf


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, from inner to outer."""
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
    """Return the numbers by name in a file with a name and a number per line."""
    lines = path.read_text(encoding="ascii").splitlines()
    split = (line.split(separator, 1) for line in lines)
    return {name: int(rest.split()[0]) for name, rest in split}
