"""Cost of reading parts of compressed scans: CPU time and bytes beside those of the whole.

files ─ regions at random places, slices, levels ─▶ CPU seconds, bytes read ─▶ table on stdout

Usage: python -m benchmarks.access FILE.dstd ... [--edge 64] [--count 6]

CPU time is that of this process, with one thread. A first region is read by a scan that was just
opened, the others by the same scan afterwards. Each region is compared with the whole scan.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import deepstd
from deepstd.threads import limit_process

Key = tuple[slice, ...]


@dataclass(frozen=True)
class Cost:
    """Cost of one access: CPU time in seconds, and bytes read."""

    seconds: float
    nbytes: float


def main() -> None:
    """Measure all files, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--edge", type=int, default=64, help="voxels along each axis of a region")
    parser.add_argument("--count", type=int, default=6, help="regions of each kind")
    given = parser.parse_args()
    limit_process(1)
    for path in given.files:
        print(table_of(path, given.edge, given.count), flush=True)


def table_of(path: Path, edge: int, count: int) -> str:
    """Return the table of a file, as Markdown."""
    rng = np.random.default_rng(0)
    scan = deepstd.open(path)
    whole, all_of_it = measured(scan, lambda: np.asarray(scan))
    boxes = [box_of(scan.shape, edge, rng) for _ in range(2 * count)]
    first, further = [], []
    for box in boxes[:count]:
        scan = deepstd.open(path)
        first.append(checked(scan, box, whole))
    for box in boxes[count:]:
        further.append(checked(scan, box, whole))
    middle = tuple(
        slice(n // 2, n // 2 + 1) if a == 2 else slice(0, n) for a, n in enumerate(scan.shape)
    )
    rows = {
        f"first region of {edge}³": mean(first),
        "a further one": mean(further),
        "one slice": checked(deepstd.open(path), middle, whole),
    }
    for level in (1, 2, 3):
        fresh = deepstd.open(path)
        rows[f"level {level}"] = measured(fresh, lambda s=fresh, n=level: s.level(n))[1]
    rows["whole scan"] = all_of_it
    size = path.stat().st_size
    lines = [
        f"{path.name}: {' x '.join(map(str, scan.shape))}, ratio {scan.metadata['ratio']:.1f}",
        "",
        "| read | CPU s | of the whole | bytes | of the file |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, cost in rows.items():
        share, part = cost.seconds / all_of_it.seconds, cost.nbytes / size
        lines.append(
            f"| {name} | {cost.seconds:.2f} | {100 * share:.1f} % | {cost.nbytes:,.0f} | "
            f"{100 * part:.1f} % |"
        )
    return "\n".join(lines) + "\n"


def box_of(shape: tuple[int, ...], edge: int, rng: np.random.Generator) -> Key:
    """Return a region at a random place."""
    sizes = [min(edge, n) for n in shape]
    starts = [int(rng.integers(0, n - size + 1)) for n, size in zip(shape, sizes, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))


def checked(scan: deepstd.Scan, box: Key, whole: np.ndarray) -> Cost:
    """Return the cost of a region, whose voxels are those of the whole scan."""
    part, cost = measured(scan, lambda: scan[box])
    if not np.array_equal(part, whole[box], equal_nan=whole.dtype.kind == "f"):
        raise SystemExit(f"{scan.name}: the region {box} is not that of the whole scan")
    return cost


def measured(scan: deepstd.Scan, read: Callable[[], Any]) -> tuple[Any, Cost]:
    """Return what a function reads of a scan, and its cost."""
    before, began = scan.bytes_read, time.process_time()
    found = read()
    return found, Cost(time.process_time() - began, scan.bytes_read - before)


def mean(costs: list[Cost]) -> Cost:
    """Return the mean of some costs."""
    return Cost(
        float(np.mean([cost.seconds for cost in costs])),
        float(np.mean([cost.nbytes for cost in costs])),
    )


if __name__ == "__main__":
    main()
