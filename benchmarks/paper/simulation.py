"""Simulation of large scans and of many workers, from measured costs.

costs ─ line ─▶ seconds and memory of any size
line, cost of a job, shared disk ─ Farm ─▶ seconds of an archive with N workers, and their limit

Nothing here is measured. Assumptions:

- CPU seconds and peak memory grow in proportion to the voxels, beyond the largest measured scan.
- A worker has a core of its own; cores do not slow each other down.
- All scans of an archive are alike. A worker takes the next one at once.
- One process hands the scans out; one disk is read by all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A disk behind 1 Gbit/s of Ethernet.
DISK_BYTES_PER_SECOND = 117e6
WORKERS = (1, 2, 4, 8, 16, 32, 64)
_CPU, _DRIVER, _DISK = "workers", "the process that hands out scans", "the shared disk"


@dataclass(frozen=True)
class Line:
    """Straight line through measured points.

    Attributes:
        slope: units per voxel.
        start: units at no voxels.
        largest: voxels of the largest measured point.
        deviation: largest relative distance of a point from the line.
    """

    slope: float
    start: float
    largest: int
    deviation: float

    def at(self, voxels: float) -> float:
        """Return the value at a number of voxels."""
        return self.start + self.slope * voxels


def fitted(voxels: Sequence[int], values: Sequence[float]) -> Line:
    """Return the line of least relative squares, neither part of it below 0.

    Args:
        voxels: sizes; at least two different ones.
        values: positive seconds or GiB, one for each size.
    """
    sizes, found = np.asarray(voxels, float), np.asarray(values, float)
    both = np.linalg.lstsq(
        np.stack([sizes, np.ones_like(sizes)], 1) / found[:, None], found / found
    )
    slope, start = (float(value) for value in both[0])
    if start < 0:
        slope, start = float(np.sum(sizes / found) / np.sum((sizes / found) ** 2)), 0.0
    deviation = np.max(np.abs(start + slope * sizes - found) / found)
    return Line(slope, start, int(sizes.max()), float(deviation))


@dataclass(frozen=True)
class Archive:
    """A data set of alike scans.

    Attributes:
        name: of the data set.
        scans: number of scans.
        voxels: voxels of one scan.
        bits: bits per voxel as stored.
        ratio: the paper's compression ratio.
        assumed: what the paper does not state; "" for nothing.
    """

    name: str
    scans: int
    voxels: int
    bits: int
    ratio: int
    assumed: str = ""

    @property
    def scan_bytes(self) -> int:
        """Bytes of the stored voxels of one scan."""
        return self.voxels * self.bits // 8

    @property
    def nbytes(self) -> int:
        """Bytes of all stored voxels."""
        return self.scans * self.scan_bytes

    @property
    def compressed_bytes(self) -> int:
        """Bytes of all files, each as large as its ratio allows."""
        return self.scans * (self.scan_bytes // self.ratio)


ARCHIVES = (
    Archive("CTSpine1K", 787, 512 * 512 * 504, 16, 256),
    Archive("AMOS MRI", 1144, 387 * 362 * 44, 16, 128),
    Archive("CheXpert-small", 10_000, 390 * 320, 8, 128, "390 × 320 pixels of 8 bits"),
    Archive("fastMRI brain", 700, 320 * 320 * 16, 16, 128, "320 × 320 × 16 voxels of 16 bits"),
    Archive("fastMRI knee", 460, 320 * 320 * 36, 16, 128, "320 × 320 × 36 voxels of 16 bits"),
)


@dataclass(frozen=True)
class Farm:
    """Workers that compress an archive.

    Attributes:
        voxel_s: CPU seconds per voxel.
        job_s: CPU seconds of a worker for a scan, whatever its size.
        driver_s: CPU seconds of the driver per scan.
        start_s: seconds before the first scan.
        disk: bytes per second that the shared disk gives to all workers.
    """

    voxel_s: float
    job_s: float
    driver_s: float
    start_s: float
    disk: float = DISK_BYTES_PER_SECOND

    def seconds(self, archive: Archive, workers: int) -> float:
        """Return the seconds for all scans of an archive."""
        return self.start_s + max(self._parts(archive, workers).values())

    def limit(self, archive: Archive, workers: int) -> str:
        """Return the part that takes longest."""
        parts = self._parts(archive, workers)
        return max(parts, key=lambda name: parts[name])

    def voxels_per_second(self, archive: Archive, workers: int) -> float:
        """Return the throughput over the whole archive."""
        return archive.scans * archive.voxels / self.seconds(archive, workers)

    def _parts(self, archive: Archive, workers: int) -> dict[str, float]:
        a_scan = self.job_s + self.voxel_s * archive.voxels
        return {
            _CPU: math.ceil(archive.scans / workers) * a_scan,
            _DRIVER: archive.scans * self.driver_s,
            _DISK: archive.nbytes / self.disk,
        }
