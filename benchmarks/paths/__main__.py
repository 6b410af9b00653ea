"""Scans of all kinds through every path: are the files the same, and the voxels?

    scan ─ every path compresses ─▶ files ─ every path restores each of them ─▶ voxels

Usage: python -m benchmarks.paths [--scans 50] [--first 0] [--effort fast] [--data DATA]

The first path is what the others are compared with. At effort fast the same integers give all
paths the same file. At other efforts gradients of the post-filter decide, too, which are floats.
Whoever restores a file checks the hash of its symbols. The last line lets runs be compared, such as
with OMP_NUM_THREADS=2, which numpy reads once. Differences are in grey levels, or in
1/1024 of the range of floats. The exit code is 1 where symbols differ, or voxels by more than 1.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.paths.routes import Route, routes
from benchmarks.paths.scans import Sample, sample
from benchmarks.standing.studies import add_data_option
from deepstd.errors import DamagedError, RateError
from deepstd.rate.effort import EFFORTS

_FLOAT_LEVELS = 1024


@dataclass
class Outcome:
    """Counts of all scans on one path.

    Attributes:
        files, same_files: scans compressed, and those whose file is the reference's.
        restored, same_voxels: files restored, and those whose voxels are the reference's.
        largest: largest difference of a voxel.
        faults: files whose symbols were others.
    """

    files: int = 0
    same_files: int = 0
    restored: int = 0
    same_voxels: int = 0
    largest: float = 0.0
    faults: int = 0


def main() -> None:
    """Compare all paths on some scans and print a table."""
    parser = argparse.ArgumentParser(description="Compare all paths through the coder.")
    add_data_option(parser)
    parser.add_argument("--scans", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first scan")
    parser.add_argument("--effort", choices=tuple(EFFORTS), default="fast")
    given = parser.parse_args()
    every = [route for route in routes() if route.exists]
    outcomes = [Outcome() for _ in every]
    digest = hashlib.sha256()
    for number in range(given.first, given.first + given.scans):
        digest.update(compare(sample(number, given.data), given.effort, every, outcomes))
    print("| path | threads | files equal | voxels equal | largest difference | faults |")
    print("| --- | --- | --- | --- | --- | --- |")
    for route, found in zip(every, outcomes, strict=True):
        print(
            f"| {route.name} | {route.threads} | {found.same_files} of {found.files} | "
            f"{found.same_voxels} of {found.restored} | {found.largest:g} | {found.faults} |"
        )
    print(f"SHA-256 of the files: {digest.hexdigest()[:16]}")
    sys.exit(any(found.faults or found.largest > 1 for found in outcomes))


def compare(scan: Sample, effort: str, every: list[Route], outcomes: list[Outcome]) -> bytes:
    """Compress a scan on all paths, and restore every different file on all paths.

    Returns:
        All different files, the reference's first.
    """
    files: dict[bytes, None] = {}
    reference: bytes | None = None
    for route, found in zip(every, outcomes, strict=True):
        made = _compressed(scan, effort, route)
        reference = made if reference is None else reference
        found.files += 1
        found.same_files += made == reference
        if made != reference:
            print(f"{scan.kind} {scan.volume.shape}: another file by {route.name}", flush=True)
        files[made] = None
    for data in files:
        if not data:
            continue
        expected = None
        for route, found in zip(every, outcomes, strict=True):
            found.restored += 1
            try:
                with route.taken():
                    voxels = route.codec(scan.bundle).decompress(data).voxels
            except DamagedError as error:
                print(f"{scan.kind} {scan.volume.shape}, {route.name}: {error}", flush=True)
                found.faults += 1
                continue
            expected = voxels if expected is None else expected
            found.same_voxels += voxels.tobytes() == expected.tobytes()
            found.largest = max(found.largest, difference(voxels, expected))
    return b"".join(files)


def _compressed(scan: Sample, effort: str, route: Route) -> bytes:
    """Return a file; no bytes where the scan cannot be of the size asked for."""
    with route.taken():
        try:
            return route.codec(scan.bundle).encode(scan.volume, scan.target, effort=effort).data
        except RateError:
            return b""


def difference(voxels: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference in grey levels, or in 1/1024 of the range of floats."""
    if not np.array_equal(np.isnan(voxels), np.isnan(expected)):
        return np.inf
    one, other = (np.nan_to_num(x.astype(np.float64)) for x in (voxels, expected))
    unit = np.ptp(other) / _FLOAT_LEVELS if expected.dtype.kind == "f" else 1.0
    return float(np.abs(one - other).max() / (unit or 1.0))


if __name__ == "__main__":
    main()
