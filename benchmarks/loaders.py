"""Cost of reading scans for training: .dstd files beside the same scans as .nii.gz, in one process.

pairs (.nii.gz, .dstd) ─ whole scan, crop at a random place, each some times ─▶ median CPU seconds

Usage: python -m benchmarks.loaders NAME=SCAN.nii.gz,FILE.dstd[,FILE.dstd…] ... [--edge 64]

CPU time is that of this process, with one thread. Every pair is read once before it is measured, so
imports and loading of bundles do not count. A crop of a .dstd file is read by a scan that was just
opened, or by one that has read another crop; nibabel slices the array of a .nii.gz file.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

import deepstd
from deepstd.loading import load
from deepstd.threads import limit_process

Box = tuple[slice, ...]


def main() -> None:
    """Measure all scans, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", help="NAME=SCAN.nii.gz,FILE.dstd[,FILE.dstd…]")
    parser.add_argument("--edge", type=int, default=64, help="voxels along each axis of a crop")
    parser.add_argument("--count", type=int, default=3, help="reads of each kind")
    given = parser.parse_args()
    limit_process(1)
    print("| scan | file | bytes | whole scan, CPU s | first crop | a further one |")
    print("| --- | --- | --- | --- | --- | --- |")
    for told in given.scans:
        name, _, files = told.partition("=")
        for path in map(Path, files.split(",")):
            print(f"| {name} {row(path, given.edge, given.count)}", flush=True)


def row(path: Path, edge: int, count: int) -> str:
    """Return the cells of a file: its name, bytes and CPU seconds."""
    rng = np.random.default_rng(0)
    compressed = path.suffix == ".dstd"
    whole: Callable[[], Any] = (lambda: load(path)) if compressed else (lambda: by_nibabel(path))
    values = whole()
    values = values[0] if compressed else values
    boxes = [box_of(values.shape, edge, rng) for _ in range(count + 1)]
    if compressed:
        first = [seconds(lambda b=b: deepstd.open(path)[b]) for b in boxes[:count]]
        scan = deepstd.open(path)
        scan[boxes[-1]]
        further = [seconds(lambda b=b: scan[b]) for b in boxes[:count]]
    else:
        first = [seconds(lambda b=b: by_nibabel(path, b)) for b in boxes[:count]]
        further = first
    all_of_it = [seconds(whole) for _ in range(count)]
    cells = (all_of_it, first, further)
    told = " | ".join(f"{statistics.median(cell):.4f}" for cell in cells)
    return f"| {path.name} | {path.stat().st_size:,} | {told} |"


def by_nibabel(path: Path, box: Box | None = None) -> np.ndarray:
    """Return the voxels of a NIfTI file, or those of a box."""
    image = nibabel.Nifti1Image.from_filename(path)
    return np.asarray(image.dataobj) if box is None else np.asarray(image.dataobj[box])


def box_of(shape: tuple[int, ...], edge: int, rng: np.random.Generator) -> Box:
    """Return a box at a random place."""
    starts = [int(rng.integers(max(n - edge, 0) + 1)) for n in shape]
    return tuple(slice(at, at + min(edge, n)) for at, n in zip(starts, shape, strict=True))


def seconds(read: Callable[[], Any]) -> float:
    """Return the CPU time of a call."""
    began = time.process_time()
    read()
    return time.process_time() - began


if __name__ == "__main__":
    main()
