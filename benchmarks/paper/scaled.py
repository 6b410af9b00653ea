"""Figures of the simulation, as text.

results/scale.json ─ lines, Farm ─▶ speeds, times; "not measured" without the file
"""

from __future__ import annotations

from benchmarks.paper import scale, simulation
from benchmarks.paper.ours import NOT_MEASURED
from benchmarks.paper.simulation import ARCHIVES, Archive, Farm, Line

COMMAND = "python -m benchmarks.paper --measure-scale"
_PAPER_BYTES_PER_SECOND = 500 * 1024  # the paper's network
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"))


def farm_of(kept: scale.Scale) -> Farm:
    """Return the farm of the measured costs, with a job's cost that its size does not explain."""
    line = line_of(kept, "compress_s")
    job = kept.jobs[-1]
    fixed = max(0.0, job.worker_s - line.slope * job.voxels)
    return Farm(line.slope, fixed, max(0.0, job.driver_s), max(0.0, job.start_s))


def speed(figure: str) -> str:
    """Return voxels a second in the largest measured scan; ``figure`` is that of a `Cost`."""
    kept = scale.load()
    if kept is None:
        return NOT_MEASURED
    cost = kept.costs[-1]
    return f"{cost.voxels / getattr(cost, figure):,.0f}, one CPU thread"


def one_scan(name: str, figure: str) -> str:
    """Return the simulated seconds of one scan of an archive; ``figure`` is that of a `Cost`."""
    kept = scale.load()
    if kept is None:
        return NOT_MEASURED
    return f"{line_of(kept, figure).at(archive_of(name).voxels):.0f} (simulated)"


def transfer(name: str, *, packed: bool) -> str:
    """Return the time to transfer an archive at the paper's 500 kB/s, before or after."""
    archive = archive_of(name)
    nbytes = archive.compressed_bytes if packed else archive.nbytes
    return duration(nbytes / _PAPER_BYTES_PER_SECOND)


def hours(name: str, workers: int) -> str:
    """Return the simulated time to compress an archive with so many workers."""
    kept = scale.load()
    if kept is None:
        return NOT_MEASURED
    seconds = farm_of(kept).seconds(archive_of(name), workers)
    return f"{duration(seconds)}, CPU workers: {workers} (simulated)"


def archive_of(name: str) -> Archive:
    """Return an archive by its name."""
    return next(archive for archive in ARCHIVES if archive.name == name)


def line_of(kept: scale.Scale, figure: str) -> Line:
    """Return the line of a figure of the costs over the voxels."""
    sizes = [cost.voxels for cost in kept.costs]
    return simulation.fitted(sizes, [getattr(cost, figure) for cost in kept.costs])


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for length, unit in _UNITS:
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
